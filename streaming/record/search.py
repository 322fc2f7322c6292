"""Searching an owner's conversations: all words of a query, in a title or in one message.

A word is any part of a text, in any case; what stands in double quotes is one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from streaming.models import TERMINAL, Conversation, Message, Response
from streaming.record import search_index
from streaming.record.any_case import cases_of

_WORD = re.compile(r'"([^"]*)(?:"|$)|([^\s"]+)')


def terms_of(query: str) -> list[str]:
    """Return the words of a query, each once. A query of quotes alone is a word."""
    found = ((quoted or plain).strip() for quoted, plain in _WORD.findall(query))
    return list(dict.fromkeys(filter(None, found))) or [query] * bool(query.strip())


def pattern_of(terms: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that finds any of the words, in any case; the longest where several are."""
    longest_first = sorted(terms, key=len, reverse=True)
    return re.compile("|".join("".join(map(_set_of, term)) for term in longest_first))


def _set_of(character: str) -> str:
    cases = cases_of(character)
    return f"[{cases}]" if len(cases) > 1 else re.escape(character)


@dataclass(frozen=True, slots=True)
class Match:
    """A message that has all words in it, and the newest response that it belongs to."""

    text: str
    response_id: UUID | None


class Search:
    """What an owner's query finds. Reads from the database when asked, not before."""

    def __init__(self, owner: str, query: str) -> None:
        self.terms = terms_of(query)
        texts = Message.objects.filter(
            searchable=True, role__in=(Message.Role.USER, Message.Role.ASSISTANT)
        )
        for term in self.terms:
            texts = texts.filter(content__icontains=term)
        self._texts = texts
        self._ids = search_index.candidates(self.terms)
        if self._ids is not None:
            # Read before the conversations are: their texts are compared once.
            self._ids = list(
                texts.filter(
                    pk__in=self._ids,
                    conversation__owner=owner,
                    conversation__source=Conversation.Source.CHAT,
                ).values_list("pk", flat=True)
            )

    def among(self, rows: QuerySet[Conversation]) -> QuerySet[Conversation]:
        """Return those of an owner's conversations that have all words in their title, or all in
        one of their messages."""
        in_title = Q()
        for term in self.terms:
            in_title &= Q(title__icontains=term)
        return rows.filter(in_title | self._has_match(rows))

    def _has_match(self, rows: QuerySet[Conversation]) -> Q:
        if self._ids is not None:
            found = Message.objects.filter(pk__in=self._ids)
            return Q(pk__in=set(found.values_list("conversation_id", flat=True)))
        if connection.vendor == "postgresql":  # by its index, if that is what it thinks best
            return Q(pk__in=self._texts.filter(conversation__in=rows).values("conversation"))
        return Q(Exists(self._texts.filter(conversation=OuterRef("pk"))))

    def newest_in(self, rows: Iterable[Conversation]) -> dict[UUID, Match]:
        """Return the newest match of each conversation that has one, by the conversation's id."""
        texts = self._texts.filter(conversation__in=[row.pk for row in rows])
        if self._ids is not None:
            texts = Message.objects.filter(pk__in=self._ids, conversation__in=[r.pk for r in rows])
        newest = dict(texts.order_by("created_at").values_list("conversation_id", "pk"))
        messages = Message.objects.in_bulk(newest.values())
        responses = self._responses(newest.values())
        return {
            conversation: Match(messages[pk].content, responses.get(pk))
            for conversation, pk in newest.items()
            if pk in messages
        }

    def _responses(self, messages: Iterable[UUID]) -> dict[UUID, UUID]:
        ids = list(messages)
        of_them = Response.objects.filter(Q(prompt__in=ids) | Q(message__in=ids)).exclude(
            continues__isnull=False, message=None, status__in=TERMINAL
        )  # those stand in nobody's place
        found: dict[UUID, UUID] = {}
        for pk, prompt, message in of_them.order_by("ordinal").values_list(
            "pk", "prompt_id", "message_id"
        ):
            found[prompt] = pk
            if message:
                found[message] = pk
        return found
