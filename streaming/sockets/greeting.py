"""The event that greets a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.delivery.viewers import Viewers
from streaming.protocol.server_events import Limits, ModelCard, SessionCreated
from streaming.sockets.announcements import CurrentAnnouncement
from streaming.waiting_list.serving import model_details


async def greeting(layer: BaseChannelLayer, session_token: str | None) -> SessionCreated:
    """Return the `chatstream:session` of now: the model, its limits, and what the workers do."""
    settings = conf.get()
    details = await model_details(layer)
    context = details.get("context_tokens")
    queue_status = Viewers.here(layer).queue_status
    return SessionCreated(
        model=str(details["model"]) if details.get("model") else None,
        limits=Limits(
            max_input_chars=settings.max_input_chars,
            max_instructions_chars=settings.max_instructions_chars,
            max_tokens=settings.max_tokens,
            context_tokens=int(context) if context else None,
        ),
        sampling=details.get("sampling") or {},
        thinks=bool(details.get("thinks")),
        card=_card(details) if details else None,
        notice=await queue_status.closed(),
        announcement=await CurrentAnnouncement.here(layer).get(),
        service=await queue_status.service(),
        load=await queue_status.load(),
        session_token=session_token,
    )


def _card(details: Mapping[str, Any]) -> ModelCard:
    """Return what a worker says of its model, without what it does not know."""
    takes_system = details.get("takes_system")
    return ModelCard(
        parameters=int(details.get("parameters") or 0) or None,
        dtype=str(details.get("dtype") or "") or None,
        takes_system=None if takes_system is None else bool(takes_system),
    )
