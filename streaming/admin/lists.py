"""Lists of rows that take from a query string what their own filters offer, and nothing else.

Django lets everybody who sees a list filter it by any column of its table, shown or not, and so
tells them letter by letter what a hidden one holds; it also passes values on that the database
cannot take. Both are refused here as Django refuses what it knows to be wrong: `?e=1`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, ORDER_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.text import smart_split
from django.utils.translation import ngettext

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

MOST_VALUES = 20
"""Values of one filter."""
MOST_CHARS = 1000
"""Characters of one value."""
MOST_TERMS = 20
"""Words of a search: each is looked for in several columns."""
MOST_SEARCHED_CHARS = 4000
"""Characters of a search; SQLite matches no pattern of more than 50,000 bytes."""


class OfferedList(ChangeList):
    """A list whose filters alone say what can be asked."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Return the filters. Raises IncorrectLookupParameters for what none of them offers."""
        for name, values in self.get_filters_params().items():
            if len(values) > MOST_VALUES or not all(_is_plain(value) for value in values):
                raise IncorrectLookupParameters(f"{name} is malformed")
        found = super().get_filters(request)
        left = found[2]  # what no filter has taken
        if left:
            raise IncorrectLookupParameters(f"no filter offers {', '.join(sorted(left))}")
        return found

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Return the order. Raises IncorrectLookupParameters for more columns than there are."""
        if self.params.get(ORDER_VAR, "").count(".") >= len(self.list_display):
            raise IncorrectLookupParameters("an order of more columns than there are")
        return super().get_ordering(request, queryset)

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows of the page. Raises IncorrectLookupParameters for a value that no column
        can hold."""
        try:
            super().get_results(request)
            self.tell_what_was_found(request)
        except (DataError, OverflowError, ValueError) as error:  # a value beyond the column's type
            raise IncorrectLookupParameters(error) from error

    @property
    def found_words(self) -> str:
        """How many rows there are on all pages."""
        text = ngettext("%(count)d result", "%(count)d results", self.result_count)
        return text % {"count": self.result_count}

    def tell_what_was_found(self, request: HttpRequest) -> None:
        """Give the page's rows what their columns need to show where the search has found them."""


class OfferedAdmin(ModelAdmin):
    """Its list is an OfferedList; searches are short, and actions are on rows that can be."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list whose filters alone say what can be asked."""
        return OfferedList

    def find(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> QuerySet[Any]:
        """Those of `queryset` that a search finds, by default as Django does."""
        found: QuerySet[Any] = super().get_search_results(request, queryset, search_term)[0]
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return what a search finds, nothing and a warning for one that is too long."""
        if "\0" in search_term:  # in no row, and some databases refuse to look for it
            return queryset.none(), False
        words = sum(1 for _ in smart_split(search_term))
        if words > MOST_TERMS or len(search_term) > MOST_SEARCHED_CHARS:
            text = f"A search takes at most {MOST_TERMS} words of {MOST_SEARCHED_CHARS} characters."
            self.message_user(request, text, messages.WARNING, fail_silently=True)
            return queryset.none(), False
        return self.find(request, queryset, search_term), False

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any
    ) -> HttpResponse | None:
        """Carry out an action on the selected rows; back to the list for keys that are none."""
        try:
            for value in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.clean(value, None)
        except ValidationError:
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
        return super().response_action(request, queryset, *args)


class MomentFilter(admin.DateFieldListFilter):
    """Django's own, which takes the moments of its links and none that a database cannot hold."""

    def __init__(
        self,
        field: Any,
        request: HttpRequest,
        params: dict[str, Any],
        model: Any,
        model_admin: Any,
        field_path: str,
    ) -> None:
        for name in (f"{field_path}__gte", f"{field_path}__lt"):
            for value in params.get(name, ()):
                if not _is_moment(value):
                    raise IncorrectLookupParameters(f"{name} is no moment with its time zone")
        super().__init__(field, request, params, model, model_admin, field_path)


def _is_moment(value: str) -> bool:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return False
    return moment.tzinfo is not None and 1970 <= moment.year <= 9998


def _is_plain(value: str) -> bool:
    """Whether every database can be asked for it."""
    return (
        len(value) <= MOST_CHARS
        and "\0" not in value
        and not any("\ud800" <= character <= "\udfff" for character in value)
    )
