"""What the query strings of the record's pages can ask: what their filters offer, nothing else."""

from __future__ import annotations

import json
import string
import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from streaming.admin.lists import MOST_TERMS, MOST_VALUES
from streaming.identity import keys
from streaming.models import Response, Status
from tests.integration.test_history import EXPORT, respond
from tests.support.long_runs import IS_LONG

pytestmark = pytest.mark.django_db

MODELS = ("response", "conversation", "message", "apikey")
VIEWING = tuple(f"view_{name}" for name in MODELS)
SECRET = "quagga"
REFUSED = (302, 400)


def staff(*permissions: str) -> Client:
    user = User.objects.create_user(f"staff-{uuid.uuid4().hex[:6]}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def viewer() -> Client:
    """Sees every list, but no texts."""
    return staff(*VIEWING)


@pytest.fixture
def secret() -> Response:
    """A response whose texts nobody here may read; and another one."""
    user = User.objects.create_user("ada", password="password of ada")
    keys.create(user, "laptop")
    found = respond(
        f"{SECRET} answer",
        prompt=f"{SECRET} prompt",
        user=user,
        params={"stop": [SECRET]},
        error_message=f"{SECRET} failed",
        status=Status.FAILED,
    )
    respond("zebra", prompt="zebra", params={"stop": ["zebra"]})
    return found


def page(model: str) -> str:
    return reverse(f"admin:streaming_{model}_changelist")


TEXTS = {
    "response": (
        "text",
        "params",
        "error_message",
        "address",
        "prompt__content",
        "message__content",
        "conversation__title",
        "previous__text",
        "continues__text",
        "prompt__conversation__title",
        "conversation__messages__content",
        "conversation__user__password",
    ),
    "conversation": ("title", "messages__content", "responses__text", "user__password"),
    "message": (
        "content",
        "conversation__title",
        "parent__content",
        "children__content",
        "responses__text",
        "response__params",
    ),
    "apikey": ("digest", "user__password", "user__conversation__title", "user__email"),
}
VALUES = (SECRET, '["quagga"]', "q", "1", "a,b")
FITTING = {"__in": "a,b", "__range": "a,b", "__isnull": "1", "__len": "1", "__has_key": "1"}
"""Of these lookups the value that they would take, so that nothing else is what is refused."""
LOOKUPS = (
    "",
    "__exact",
    "__iexact",
    "__contains",
    "__icontains",
    "__startswith",
    "__istartswith",
    "__endswith",
    "__regex",
    "__iregex",
    "__in",
    "__gt",
    "__gte",
    "__lt",
    "__lte",
    "__range",
    "__isnull",
    "__len",
    "__stop",
    "__stop__0",
    "__stop__0__startswith",
    "__has_key",
    "__nonsense",
)


@pytest.mark.parametrize("model", MODELS)
def test_no_lookup_tells_what_a_text_is(viewer: Client, secret: Response, model: str) -> None:
    """Neither by what is found nor by how many. With CHATSTREAM_TEST_LONG=1 each lookup is tried
    with each value, else, but on JSON and alone, with one that it takes."""
    for field in TEXTS[model]:
        for lookup in LOOKUPS:
            tries_all = IS_LONG or not lookup or field.endswith("params")
            for value in VALUES if tries_all else (FITTING.get(lookup, SECRET),):
                query = {f"{field}{lookup}": value}
                answer = viewer.get(page(model), query)
                assert answer.status_code in REFUSED, query
                if answer.status_code == 302:
                    assert answer.headers["Location"].endswith("?e=1"), query
                    refused = viewer.get(page(model), {**query, "e": "1"})
                    assert refused.status_code == 200
                    assert b"result_list" not in refused.content


def test_a_prompt_is_not_recovered_letter_by_letter(viewer: Client, secret: Response) -> None:
    known = ""
    for _ in SECRET:
        for letter in string.ascii_lowercase:
            answer = viewer.get(page("message"), {"content__startswith": known + letter})
            if answer.status_code == 200:
                known += letter
                break
    assert known == ""


@pytest.mark.parametrize(
    "query",
    [
        "text__startswith=q",
        "params__contains=q",
        "text__regex=(a%2B)%2B%24",
        "error_message__contains=q",
        "prompt__content__startswith=q",
        "id__in=a",
        "owner=x",
        "pk=1",
        "created_at__year=2026",
        "conversation__id__exact=nonsense",
    ],
)
def test_an_export_and_an_action_are_refused_likewise(
    viewer: Client, secret: Response, query: str
) -> None:
    assert viewer.get(f"{EXPORT}?{query}").status_code in REFUSED
    chosen = {"action": "export_selected", "_selected_action": [str(secret.pk)]}
    for more in ({}, {"select_across": "1"}):
        answer = viewer.post(f"{page('response')}?{query}", {**chosen, **more})
        assert answer.status_code in REFUSED
    assert not LogEntry.objects.exists()


def test_those_who_may_read_texts_search_for_them_instead(secret: Response) -> None:
    reader = staff(*VIEWING, "view_text")
    assert reader.get(page("message"), {"content__regex": "(a+)+$"}).status_code in REFUSED
    assert reader.get(page("message"), {"q": SECRET}).context["cl"].result_count == 1


OFFERED = {
    "response": {
        "status__exact": "failed",
        "owner_kind": "user",
        "source": "chat",
        "error": "engine_error",
        "interrupted": "attempts",
        "rating": "like",
        "worker": "w",
        "slow": "total-60",
        "created_from": "2026-01-01",
        "created_to": "2026-01-01",
    },
    "conversation": {
        "source__exact": "chat",
        "updated_at__gte": "2026-01-01 00:00:00+00:00",
        "updated_at__lt": "2026-01-01 00:00:00+00:00",
    },
    "message": {
        "role__exact": "user",
        "created_at__gte": "2026-01-01 00:00:00+09:00",
        "created_at__lt": "2026-12-01 00:00:00+09:00",
    },
    "apikey": {
        "revoked_at__isempty": "1",
        "last_used_at__gte": "2026-01-01 00:00:00+00:00",
        "last_used_at__isnull": "True",
    },
}
STRANGE = (
    "",
    "\x00",
    "a\x00b",
    "\ud800",
    "🦓" * 300,
    "x" * 8000,
    "-1",
    "9" * 400,
    "1e999",
    "nan",
    "[]",
    "'",
    "%",
    "0001-01-01 00:00:00+14:00",
    "9999-12-31 23:59:59-14:00",
    "9999-12-31 23:59:59",
    "0000-00-00",
    "2026-02-30",
    "2026-01-01T00:00:00+99:99",
    "10000-01-01",
    "12:00",
    "True",
    ",".join(map(str, range(2000))),
)


@pytest.mark.parametrize("model", MODELS)
def test_what_the_filters_offer_works(viewer: Client, secret: Response, model: str) -> None:
    for name, value in OFFERED[model].items():
        assert viewer.get(page(model), {name: value}).status_code == 200, name
    for extra in ("_facets", "_popup", "all", "p", "o"):
        assert viewer.get(page(model), {**OFFERED[model], extra: "1"}).status_code == 200, extra


@pytest.mark.parametrize("model", MODELS)
def test_strange_values_are_refused_or_find_nothing(
    viewer: Client, secret: Response, model: str
) -> None:
    """Never an error of ours: the client raises what a view raises."""
    names = [*OFFERED[model], "conversation__id__exact", "q", "o", "p", "_to_field", "e", "all"]
    for name in names:
        for value in STRANGE:
            query = urlencode({name: value.encode("utf-8", "surrogatepass")})
            answer = viewer.get(f"{page(model)}?{query}&_facets=1")
            assert answer.status_code in (200, *REFUSED), query
            if model == "response":
                answer = viewer.get(f"{EXPORT}?{query}")
                assert answer.status_code in (200, *REFUSED), query
                assert getattr(answer, "streaming_content", None) is None or list(answer)


@pytest.mark.parametrize("model", MODELS)
def test_one_lookup_has_few_values(viewer: Client, secret: Response, model: str) -> None:
    for name, value in OFFERED[model].items():
        query = urlencode([(name, value)] * (MOST_VALUES + 1))
        assert viewer.get(f"{page(model)}?{query}").status_code in REFUSED, name
        query = urlencode([(name, value)] * 4000)
        assert viewer.get(f"{page(model)}?{query}").status_code in REFUSED, name


@pytest.mark.parametrize("model", MODELS)
def test_an_order_of_thousands_of_columns(viewer: Client, secret: Response, model: str) -> None:
    for order in (".".join(["1", "-2"] * 2500), "-".join("1" * 5000), ".".join(["99"] * 2500)):
        answer = viewer.get(page(model), {"o": order})
        assert answer.status_code in (200, *REFUSED)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("query", ["a " * 2500, '"a" ' * 2500, "ab" * 40_000, "a\x00b c"])
def test_a_search_of_thousands_of_words(secret: Response, model: str, query: str) -> None:
    reader = staff(*VIEWING, "view_text")
    answer = reader.get(page(model), {"q": query})
    assert answer.status_code in (200, *REFUSED)
    if model != "apikey" and "\x00" not in query:
        assert answer.context["cl"].result_count == 0


def test_a_search_says_how_many_words_it_takes(secret: Response) -> None:
    answer = staff(*VIEWING).get(page("message"), {"q": "user: " * (MOST_TERMS + 1)})
    assert f"at most {MOST_TERMS} words" in answer.content.decode()
    assert staff(*VIEWING).get(page("message"), {"q": "user: " * MOST_TERMS}).status_code == 200


def test_an_action_on_what_is_no_id(viewer: Client, secret: Response) -> None:
    strange = ("nonsense", "\x00", "1", "9" * 400, "é", "")
    deleting = staff(*VIEWING, "view_text", *(f"delete_{name}" for name in MODELS))
    for model in MODELS:
        for action in ("export_selected", "delete_selected", "revoke", "nonsense"):
            for value in strange:
                for client in (viewer, deleting):
                    data = {"action": action, "_selected_action": [value, str(secret.pk)]}
                    answer = client.post(page(model), data)
                    assert answer.status_code in (200, *REFUSED), (model, action, value)
    assert Response.objects.count() == 2


@pytest.mark.parametrize("model", MODELS)
def test_pages_of_what_is_no_id(viewer: Client, secret: Response, model: str) -> None:
    for value in ("nonsense", "0", "9" * 400, "a_00b", "%00", "é"):
        for name in ("change", "history", "delete"):
            answer = viewer.get(f"{page(model)}{value}/{name}/")
            assert answer.status_code in (302, 403, 404), (value, name)


def test_no_field_but_the_key_names_a_row(viewer: Client, secret: Response) -> None:
    for field in ("text", "prompt", "params", "conversation", "title", "content", "\x00", "pk"):
        for model, pk in (("response", secret.pk), ("message", secret.prompt_id)):
            answer = viewer.get(page(model), {"_to_field": field})
            assert answer.status_code in REFUSED, field
            answer = viewer.get(f"{page(model)}{pk}/change/", {"_to_field": field})
            assert answer.status_code in REFUSED, field


def test_completions_tell_ids_alone(viewer: Client, secret: Response) -> None:
    address = "/admin/autocomplete/"
    for model, field in (
        ("message", "conversation"),
        ("response", "prompt"),
        ("response", "previous"),
        ("response", "message"),
    ):
        asked = {"app_label": "streaming", "model_name": model, "field_name": field}
        for term in (SECRET, f'"{SECRET}"', "q", "\x00", "a " * 2500, "x" * 60_000):
            answer = viewer.get(address, {**asked, "term": term})
            assert answer.status_code == 200, (field, term[:9])
            assert json.loads(answer.content)["results"] == [], (field, term[:9])
        answer = viewer.get(address, {**asked, "term": str(secret.conversation_id)[:8]})
        assert SECRET not in answer.content.decode()


def test_what_deleting_shows_and_logs_has_no_texts(secret: Response) -> None:
    deleting = staff(*VIEWING, *(f"delete_{name}" for name in MODELS))
    for model, pk in (
        ("message", secret.prompt_id),
        ("response", secret.pk),
        ("conversation", secret.conversation_id),
    ):
        for name in ("change", "history", "delete"):
            answer: Any = deleting.get(f"{page(model)}{pk}/{name}/")
            shown = answer.content.decode().replace(secret.error_message, "")
            assert answer.status_code == 200
            assert SECRET not in shown, (model, name)
    deleting.post(f"{page('conversation')}{secret.conversation_id}/delete/", {"post": "yes"})
    assert Response.objects.count() == 1
    [entry] = LogEntry.objects.all()
    assert SECRET not in f"{entry.object_repr}{entry.change_message}"


def test_no_other_list_reaches_the_texts(secret: Response) -> None:
    """Accounts are Django's own list, whose lookups go along relations to ours."""
    client = staff(*VIEWING, "view_user", "view_group")
    for model in ("user", "group"):
        address = reverse(f"admin:auth_{model}_changelist")
        for field in (
            "conversation__title",
            "conversation__messages__content",
            "conversation__responses__text",
            "user__conversation__title",
            "api_keys__digest",
            "password",
        ):
            for lookup in ("", "__startswith", "__regex", "__contains"):
                answer = client.get(address, {f"{field}{lookup}": "q"})
                assert answer.status_code in REFUSED, (model, field, lookup)
