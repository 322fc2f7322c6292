"""Which engine the settings ask for."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string

from streaming import conf
from streaming.engine.base import Engine, EngineError


def build_engine() -> Engine:
    """Return the engine that the settings ask for, its model not loaded yet. Raises EngineError if
    they cannot go together."""
    settings = conf.get()
    if settings.upstream_url:
        if settings.max_running is None:
            message = "CHATSTREAM_MAX_RUNNING=auto is for models that run here, not upstream."
            raise EngineError(f"{message} Say how many the server takes.", "settings")
        from streaming.engine.upstream import UpstreamEngine

        return UpstreamEngine(
            settings.upstream_url,
            key=settings.upstream_key,
            model=settings.upstream_model or settings.model,
            continues={"auto": None, "yes": True, "no": False}[settings.upstream_continues],
            api=settings.upstream_api,
            patience_seconds=settings.upstream_patience,
            max_running=settings.max_running,
            max_rows=settings.max_rows,
            context_tokens=settings.context_tokens,
        )
    engine_class = import_string(settings.engine)  # not earlier: torch takes seconds to import
    # an engine of one's own need not know of what is not set
    also: dict[str, Any] = {}
    if settings.chat_template is not None:
        also["chat_template"] = settings.chat_template
    if settings.adapter:
        also["adapter"] = settings.adapter
    engine: Engine = engine_class(
        settings.model or None,
        device=settings.device,
        dtype=settings.dtype,
        max_running=settings.max_running,
        max_rows=settings.max_rows,
        context_tokens=settings.context_tokens or None,
        cache_dir=settings.cache_dir,
        **also,
    )
    return engine
