"""The answers that a client waits for."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from streaming.client import requests
from streaming.client.answer import Answer
from streaming.client.assembly import Unread
from streaming.client.backlog import AnswerEvent
from streaming.client.errors import ChatError
from streaming.protocol.server_events import ErrorEvent


class OpenAnswers:
    """Answers that have not ended, by their ids. Events are routed to them."""

    def __init__(self) -> None:
        self._answers: dict[UUID, Answer] = {}

    def __bool__(self) -> bool:
        return bool(self._answers)

    def add(self, answer: Answer) -> Answer:
        """Add an answer; return it, or the one with the same id that is open already."""
        return self._answers.setdefault(answer.id, answer)

    def forget(self, answer: Answer) -> None:
        """Route nothing to an answer any more."""
        self._answers.pop(answer.id, None)

    def begin(self) -> None:
        """Ask for all of them, on a new connection."""
        self._each(Answer.begin)

    def again(self) -> None:
        """Ask once more for whatever the server has not acknowledged."""
        self._each(Answer.again)

    def take(self, event: AnswerEvent | Unread) -> None:
        """Pass an event to its answer, if that is open."""
        if answer := self._answers.get(event.response_id):
            answer.take(event)

    def take_error(self, error: ErrorEvent) -> bool:
        """Pass an error to the answer whose request it refuses; False if that is not known."""
        kind, response_id = requests.refused_by(error)
        answer = self._answers.get(response_id) if response_id else None
        if answer is None:
            return False
        answer.take_error(kind, error)
        return True

    def too_large(self) -> None:
        """Give up what is not acknowledged: one of the frames was larger than the server takes."""
        self._each(Answer.too_large)

    def lose(self, error: ChatError) -> None:
        """End all of them with this error."""
        self._each(lambda answer: answer.lose(error))

    def _each(self, action: Callable[[Answer], None]) -> None:
        for answer in list(self._answers.values()):  # an action may end an answer
            action(answer)
