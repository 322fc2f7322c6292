"""What the record's search box finds: ids by their first digits, owners, accounts, texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import CharField, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.utils.text import smart_split, unescape_string_literal

ID = re.compile(r"[0-9a-f]{1,32}")
LOOKS_LIKE_ID = re.compile(r"[0-9a-f]{8}[0-9a-f-]*", re.IGNORECASE)
LOOKS_LIKE_OWNER = re.compile(r"(user|visitor):")


def terms(query: str) -> Iterator[tuple[str, bool]]:
    """The words of a query; what stands in quotes is one, and said to be so (True)."""
    for bit in smart_split(query):
        if len(bit) > 1 and bit[0] == bit[-1] and bit[0] in "\"'":
            yield unescape_string_literal(bit), True
        else:
            yield bit, False


def is_id(term: str, quoted: bool) -> bool:
    """Return whether a term may be the beginning of an id."""
    return not quoted and LOOKS_LIKE_ID.fullmatch(term) is not None


def is_owner(term: str, quoted: bool) -> bool:
    """Return whether a term may be an owner."""
    return not quoted and LOOKS_LIKE_OWNER.match(term) is not None


def words(query: str) -> list[str]:
    """The terms that are looked for in texts."""
    return [
        term
        for term, quoted in terms(query)
        if term and not is_id(term, quoted) and not is_owner(term, quoted)
    ]


def id_begins(field: str, term: str) -> Q:
    """Ids that begin with these hexadecimal digits, as a range: an index finds them.

    Hyphens do not matter. Nothing for what is no beginning of an id.
    """
    digits = term.lower().replace("-", "")
    if not ID.fullmatch(digits):
        return Q(pk__in=[])
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    return Q(**{f"{field}__gte": first, f"{field}__lte": last})


def owner_begins(field: str, term: str) -> Q:
    """Owners that begin so, with or without `visitor:`."""
    return Q(**{f"{field}__startswith": term}) | Q(**{f"{field}__startswith": f"visitor:{term}"})


def owner_named(field: str, term: str) -> Q:
    """Accounts by a part of their name."""
    return Q(**{f"{field}__in": _owners_named(term)})


def _owners_named(term: str) -> QuerySet[User, str]:
    found = User.objects.filter(username__icontains=term)
    owner = Concat(Value("user:"), Cast("pk", CharField()), output_field=CharField())
    return found.annotate(owner_of=owner).values_list("owner_of", flat=True)


def condition(
    query: str,
    *,
    ids: Sequence[str],
    owner: str,
    columns: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> Q:
    """All terms of a query, each found somewhere.

    `ids`: fields searched by their first digits. `owner`: the field of the owner. `columns` and
    `texts`: fields searched for any part; a term in quotes is searched in texts alone. What
    looks like an id is looked up as one (or as an account's name), which indexes make fast, and
    what looks like an owner as an owner.
    """
    found = Q()
    for term, quoted in terms(query):
        anywhere = Q(pk__in=[])
        as_id, as_owner = is_id(term, quoted), is_owner(term, quoted)
        if not quoted and not as_owner:
            for field in ids:
                anywhere |= id_begins(field, term)
            anywhere |= owner_named(owner, term)
        if not quoted and not as_id:
            anywhere |= owner_begins(owner, term)
        if not as_id and not as_owner:
            for field in (*(() if quoted else columns), *texts):
                anywhere |= Q(**{f"{field}__icontains": term})
        found &= anywhere
    return found
