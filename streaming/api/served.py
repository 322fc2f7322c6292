"""Which model answers."""

from __future__ import annotations

import time

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.api.answers import Model
from streaming.api.errors import ApiError
from streaming.engine.base import UPSTREAM
from streaming.engine.models.download import DEFAULT_MODEL
from streaming.engine.models.model_name import shown_name

ALIAS = "default"

_STARTED = int(time.time())


async def models(layer: BaseChannelLayer) -> list[Model]:
    """Those of the live workers; without one, the model that the settings name."""
    workers = await layer.waiting_list.workers()
    names = [str(worker.details["model"]) for worker in workers if worker.details.get("model")]
    return [Model(id=name, created=_STARTED) for name in dict.fromkeys(names or [_set_name()])]


async def find(layer: BaseChannelLayer, name: str) -> Model:
    """The model of that name, or of the alias `default`. Raises ApiError 404."""
    served = await models(layer)
    for model in served:
        if name in (model.id, ALIAS):
            return model
    known = ", ".join(model.id for model in served)
    message = f"The model {name[:100]!r} is not served here. Served: {known}, or `{ALIAS}`."
    raise ApiError(404, "model_not_found", message, "model")


async def is_upstream(layer: BaseChannelLayer) -> bool:
    """Whether another server answers, and is passed what it alone understands: the live workers
    say it, or without one the settings."""
    workers = await layer.waiting_list.workers()
    devices = {worker.details["device"] for worker in workers if worker.details.get("device")}
    return devices == {UPSTREAM} if devices else bool(conf.get().upstream_url)


def _set_name() -> str:
    settings = conf.get()
    if settings.upstream_url:
        return shown_name(settings.upstream_model or settings.model) or ALIAS
    return shown_name(settings.model) or DEFAULT_MODEL.display_name
