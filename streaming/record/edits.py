"""Changing the prompt of a response that waits."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from streaming.models import Response, Status
from streaming.record.attachments import retyped, typed_text
from streaming.record.conversations import title_of
from streaming.record.database import in_database
from streaming.record.errors import AlreadyStarted, NotFound, NotOwner, PromptAnswered


@in_database
def edit_prompt(response_id: UUID, owner: str, text: str) -> None:
    """Change the prompt of a response that waits, and a title that was made of it.

    Raises NotFound, NotOwner, AlreadyStarted, and PromptAnswered if an earlier response answers
    the same prompt.
    """
    with transaction.atomic():
        # The update locks the row: a worker that starts it now reads what we wrote, or was first.
        waits = Q(pk=response_id, owner=owner, status__in=(Status.ACCEPTING, Status.QUEUED))
        waiting = Response.objects.filter(waits).update(attempt=F("attempt"))
        related = ("conversation", "prompt")
        response = Response.objects.select_related(*related).filter(pk=response_id).first()
        if response is None:
            raise NotFound
        if response.owner != owner:
            raise NotOwner
        if not waiting:
            raise AlreadyStarted
        if response.prompt.responses.count() > 1:
            raise PromptAnswered
        conversation, prompt = response.conversation, response.prompt
        before = typed_text(prompt.content, prompt.parts)
        if response.previous_id is None and conversation.title == title_of(before):
            conversation.title = title_of(text)
            conversation.save(update_fields=["title", "updated_at"])
        prompt.content, prompt.parts = retyped(prompt.content, prompt.parts, text)
        prompt.save(update_fields=["content", "parts"])
