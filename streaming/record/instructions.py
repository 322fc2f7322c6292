"""What answers are to keep to: the operator's instructions, an account's, a conversation's.

The operator's come first and always hold. After them stand the person's: the conversation's own, if
it has any (an empty text says that it wants none), else the account's. Together they are one
system message, written with each response.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.contrib.auth.models import User

from streaming import conf
from streaming.engine.base import ChatMessage
from streaming.models import AccountInstructions, Conversation
from streaming.record.errors import NotFound, Subject
from streaming.record.tasks import OwnInstructions


class TooLong(ValueError):
    """A person's instructions have more characters than `limit`."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"{count} characters; at most {limit} are allowed")
        self.count, self.limit = count, limit


def cleaned(text: str) -> str:
    """Return what a form sent, with line breaks of one character and without U+0000, which
    PostgreSQL does not store. Raises TooLong."""
    text = text.replace("\r\n", "\n").replace("\x00", "")
    limit = conf.get().max_instructions_chars
    if len(text) > limit:
        raise TooLong(len(text), limit)
    return text


def for_new(conversation: Conversation, given: OwnInstructions | None, user: User | None) -> str:
    """Return the instructions of a new response, and keep those that were `given` as the
    conversation's, in the database alone.

    A conversation that a program began by `/v1/` brought its own: only given ones are added.
    """
    own = conversation.instructions if given is None else given.text
    if own != conversation.instructions:
        Conversation.objects.filter(pk=conversation.pk).update(instructions=own)
    if conversation.source == Conversation.Source.API:
        return own or ""
    return joined(conf.get().instructions, of_account(user) if own is None else own)


def joined(*texts: str) -> str:
    """Return texts as one, without empty ones, a blank line between them."""
    return "\n\n".join(text for text in texts if text.strip())


def of_account(user: User | None) -> str:
    """Return the instructions of an account, empty without one."""
    if user is None:
        return ""
    texts = AccountInstructions.objects.filter(user=user).values_list("text", flat=True)
    return texts.first() or ""


def set_of_account(user: User, text: str) -> None:
    """Write the instructions of an account; blank ones are deleted."""
    if text.strip():
        AccountInstructions.objects.update_or_create(user=user, defaults={"text": text})
    else:
        AccountInstructions.objects.filter(user=user).delete()


def set_of_conversation(conversation_id: UUID, owner: str, text: str | None) -> None:
    """Write the instructions of a conversation, None for the account's. They hold for what is asked
    from now on. Raises NotFound for a conversation that is not the owner's."""
    found = Conversation.objects.filter(pk=conversation_id, owner=owner)
    if not found.update(instructions=text):
        raise NotFound(Subject.CONVERSATION)


def with_system(messages: Sequence[ChatMessage], instructions: str) -> list[ChatMessage]:
    """Return messages after a system message of the instructions, if there are any. A system
    message that stands there follows them in the same one: many models take one alone."""
    if not instructions:
        return list(messages)
    first, *rest = messages
    if first.role != "system":
        return [ChatMessage("system", instructions), *messages]
    return [ChatMessage("system", joined(instructions, first.content)), *rest]
