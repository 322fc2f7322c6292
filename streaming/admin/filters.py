"""The history's filters: those that Django's own do not cover."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.filters import ListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.db.models.lookups import GreaterThan
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from streaming.admin.durations import DURATIONS
from streaming.models import Conversation, Response, Status

if TYPE_CHECKING:
    Rows = QuerySet[Response]

RECENT = 2000
"""Of so many newest responses the workers are offered: each process has a name of its own."""


def _choices(names: Iterable[str], chosen: str | None) -> list[tuple[str, str]]:
    """Each name once, and the chosen one even if it is not there any more."""
    return [(name, name) for name in sorted({*names, chosen or ""}) if name]


class OwnerKind(admin.SimpleListFilter):
    """Responses of accounts, or of visitors."""

    title = gettext_lazy("owner")
    parameter_name = "owner_kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices, as pairs of value and name."""
        return [("user", gettext("Account")), ("visitor", gettext("Visitor"))]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows | None:
        """Return the rows whose owner is of the chosen kind."""
        if self.value() not in ("user", "visitor"):
            return None
        return queryset.filter(owner__startswith=f"{self.value()}:")


class Source(admin.SimpleListFilter):
    """Responses to the chat page, to the API, or the server's own, which make titles."""

    title = gettext_lazy("source")
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices, as pairs of value and name."""
        names = {"chat": gettext("Chat"), "api": gettext("API"), "name": gettext("Title")}
        return [(source.value, names[source]) for source in Conversation.Source]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows | None:
        """Return the rows of the chosen source."""
        return queryset.filter(conversation__source=self.value()) if self.value() else None


class Worker(admin.SimpleListFilter):
    """Workers of late; any other by `?worker=` and its name, as a response's page links it."""

    title = gettext_lazy("worker")
    parameter_name = "worker"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the workers of the newest responses, and the chosen one."""
        recent = Response.objects.order_by("-created_at").values_list("worker", flat=True)
        return _choices(recent[:RECENT], self.value())

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows | None:
        """Return the rows of the chosen worker."""
        return queryset.filter(worker=self.value()) if self.value() else None


class OfConversation(ListFilter):
    """Of one conversation, as its page links them; not offered to choose from."""

    title = gettext_lazy("conversation")
    template = "admin/filter.html"
    parameter_name = "conversation__id__exact"

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        if values := params.pop(self.parameter_name, None):
            try:
                self.used_parameters[self.parameter_name] = UUID(values[-1])
            except ValueError as error:
                raise IncorrectLookupParameters(error) from error

    def has_output(self) -> bool:
        """Return whether to show it: only where a conversation is chosen."""
        return bool(self.used_parameters)

    def expected_parameters(self) -> list[str | None]:
        """Return the name of its parameter."""
        return [self.parameter_name]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Return the rows of the chosen conversation."""
        return queryset.filter(conversation=cast(UUID, self.used_parameters[self.parameter_name]))

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        """Return the way back to all, and the chosen conversation."""
        others = changelist.get_query_string(remove=[self.parameter_name])
        yield {"display": gettext("All"), "selected": False, "query_string": others}
        chosen = str(self.used_parameters[self.parameter_name])
        yield {
            "display": chosen[:8],
            "selected": True,
            "query_string": changelist.get_query_string(),
        }


class ErrorCode(admin.SimpleListFilter):
    """Failed responses with one code."""

    title = gettext_lazy("error code")
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the codes that failed responses have, and the chosen one."""
        # Nothing else has one, and the index on the status finds these.
        failed = Response.objects.filter(status=Status.FAILED).exclude(error_code="")
        codes = failed.order_by().values_list("error_code", flat=True).distinct()
        return _choices(codes, self.value())

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows | None:
        """Return the failed rows with the chosen code."""
        if not self.value():
            return None
        return queryset.filter(status=Status.FAILED, error_code=self.value())


class Rating(admin.SimpleListFilter):
    """Responses by how their readers rated them."""

    title = gettext_lazy("rating")
    parameter_name = "rating"
    _conditions = {"like": Q(rating=1), "dislike": Q(rating=-1), "none": Q(rating=None)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices, as pairs of value and name."""
        return [
            ("like", gettext("Liked")),
            ("dislike", gettext("Disliked")),
            ("none", gettext("Not rated")),
        ]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows | None:
        """Return the rows with the chosen rating."""
        condition = self._conditions.get(self.value() or "")
        return None if condition is None else queryset.filter(condition)


class Trouble(admin.SimpleListFilter):
    """Responses that were attempted again, or that the waiting list forgot."""

    title = gettext_lazy("interruptions")
    parameter_name = "interrupted"
    _conditions = {"attempts": Q(attempt__gt=1), "restarts": Q(restarts__gt=0)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices, as pairs of value and name."""
        return [
            ("attempts", gettext("More than one attempt")),
            ("restarts", gettext("Forgotten by the list")),
        ]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows | None:
        """Return the rows with the chosen kind of interruption."""
        condition = self._conditions.get(self.value() or "")
        return None if condition is None else queryset.filter(condition)


class Slow(admin.SimpleListFilter):
    """What took long. The value has a name of DURATIONS and a bound in seconds."""

    title = gettext_lazy("slow ones")
    parameter_name = "slow"
    bounds = {
        "queue": (gettext_lazy("Queue time"), (10, 60, 600)),
        "ttft": (gettext_lazy("First token"), (5, 30, 300)),
        "total": (gettext_lazy("Total"), (60, 300)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return a choice for each duration and bound."""
        return [
            (
                f"{name}-{bound}",
                gettext("%(what)s over %(time)s") % {"what": title, "time": _round(bound)},
            )
            for name, (title, bounds) in self.bounds.items()
            for bound in bounds
        ]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows | None:
        """Return the rows whose chosen duration is above its bound."""
        if self.value() not in dict(self.lookup_choices):
            return None
        name, _, bound = str(self.value()).partition("-")
        return queryset.filter(GreaterThan(DURATIONS[name], int(bound)))


def _round(seconds: int) -> str:
    if seconds % 60 == 0:
        return gettext("%(count)s min") % {"count": seconds // 60}
    return gettext("%(count)s s") % {"count": seconds}


class Created(ListFilter):
    """Today, the past days, or from one day to another, both included."""

    title = gettext_lazy("created")
    template = "admin/streaming/response/created_filter.html"
    first, last = "created_from", "created_to"
    _names = [first, last]
    _spans = (
        (gettext_lazy("Today"), 0),
        (gettext_lazy("Past 7 days"), 6),
        (gettext_lazy("Past 30 days"), 29),
    )

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self._names:
            if name in params and (value := params.pop(name)[-1]):
                self.used_parameters[name] = value

    def has_output(self) -> bool:
        """Return True: the form of two days is always shown."""
        return True

    def expected_parameters(self) -> list[str | None]:
        """Return the names of the two days."""
        return [self.first, self.last]

    @property
    def values(self) -> dict[str, str]:
        """What the fields of the form begin with: what is no date is forgotten."""
        return {name: day.isoformat() for name in self._names if (day := self._day(name))}

    def _day(self, name: str) -> date | None:
        """What was asked for; None without, and for what is no date."""
        try:
            found = date.fromisoformat(str(self.used_parameters.get(name)))
        except ValueError:
            return None
        return found if date(1970, 1, 1) <= found <= date(9998, 12, 31) else None

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Return the rows between the two days, both included."""
        if begin := self._day(self.first):
            queryset = queryset.filter(created_at__gte=_midnight(begin))
        if end := self._day(self.last):
            queryset = queryset.filter(created_at__lt=_midnight(end + timedelta(days=1)))
        return queryset

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        """Return the links: any date, today, and the past days."""

        def query(values: dict[str, str]) -> str:
            return changelist.get_query_string(values, self._names)

        yield {
            "display": gettext("Any date"),
            "selected": not self.values,
            "query_string": query({}),
        }
        today = timezone.localdate()
        for display, days in self._spans:
            values = {self.first: (today - timedelta(days=days)).isoformat()}
            selected = values == self.values
            yield {
                "display": display,
                "selected": selected,
                "query_string": query(values),
            }

    def hidden(self) -> list[tuple[str, str]]:
        """What the form of the two days must carry along."""
        ours = {*self._names, "p", "e"}
        return [
            (name, value)
            for name, values in self.request.GET.lists()
            for value in values
            if name not in ours
        ]


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))
