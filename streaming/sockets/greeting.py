"""The event that greets a client."""

from __future__ import annotations

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.delivery.viewers import Viewers
from streaming.protocol.server_events import Limits, SessionCreated
from streaming.waiting_list.serving import model_details


async def greeting(layer: BaseChannelLayer, session_token: str | None) -> SessionCreated:
    """Return the `session.created` of now: the model, its limits, and what the workers do."""
    settings = conf.get()
    details = await model_details(layer)
    context = details.get("context_tokens")
    queue_status = Viewers.here(layer).queue_status
    return SessionCreated(
        model=str(details["model"]) if details.get("model") else None,
        limits=Limits(
            max_input_chars=settings.max_input_chars,
            max_tokens=settings.max_tokens,
            context_tokens=int(context) if context else None,
        ),
        sampling=details.get("sampling") or {},
        thinks=bool(details.get("thinks")),
        notice=await queue_status.closed(),
        service=await queue_status.service(),
        session_token=session_token,
    )
