"""What the record refuses, and what the refusal is about. Doors translate it for their clients."""

from __future__ import annotations

from enum import Enum


class Subject(Enum):
    """What a caller named that a refusal is about."""

    RESPONSE = "the response itself"
    CONVERSATION = "the conversation of a new prompt"
    PREVIOUS = "the response that a new prompt follows"
    REGENERATED = "the response whose prompt is answered once more"
    CONTINUED = "the response whose answer is continued"
    ITEM = "an item of a conversation"


class RecordError(Exception):
    """The record holds nothing that fits what is asked; nothing was written."""

    def __init__(self, subject: Subject = Subject.RESPONSE) -> None:
        super().__init__(f"{type(self).__name__}: {subject.value}")
        self.subject = subject


class NotFound(RecordError):
    """There is none with that id, or it belongs to somebody else who is not to be told of it."""


class NotOwner(RecordError):
    """The response belongs to somebody else."""


class OtherConversation(RecordError):
    """The response belongs to another conversation than the one that was named."""


class StillOpen(RecordError):
    """The response has not ended yet."""


class NothingToContinue(RecordError):
    """The answer is complete, or nothing was said: there is no more to come."""


class UnknownCall(RecordError):
    """A tool's message answers a call that none of the turns before it makes."""

    def __init__(self, call_id: str) -> None:
        super().__init__()
        self.call_id = call_id


class UnansweredCall(UnknownCall):
    """A turn follows the call of a tool, of which nobody has said what came of it."""


class NothingToAnswer(RecordError):
    """There is no new message, and the last turn of the conversation is nothing to answer."""


class TooManyTurns(RecordError):
    """The conversation has as many turns as one may have."""


class AlreadyStarted(RecordError):
    """The response does not wait any more: its prompt cannot change."""


class PromptAnswered(RecordError):
    """Another response answers the same prompt, which therefore cannot change."""


class AlreadyEnded(RecordError):
    """The response has ended."""
