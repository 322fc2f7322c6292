"""Which model answers."""

from __future__ import annotations

import functools
import hashlib
import time
from importlib.metadata import PackageNotFoundError, version

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.api.answers import Model
from streaming.api.errors import ApiError
from streaming.engine.base import UPSTREAM
from streaming.engine.models.download import DEFAULT_MODEL
from streaming.engine.models.model_name import shown_name

ALIAS = "default"

_BUILD = ("model", "device", "dtype", "parameters")
"""What workers say of a model that its answers depend on."""

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


async def fingerprint(layer: BaseChannelLayer) -> str | None:
    """Return a word for the model, its precision, the kind of device and the version of this
    service: once it is another one, the same seed may say something else. None if nobody can tell:
    another server answers, workers differ, or none has loaded a model."""
    workers = await layer.waiting_list.workers()
    known = [worker.details for worker in workers if worker.details.get("model")]
    builds = {tuple(str(details.get(name)) for name in _BUILD) for details in known}
    if len(builds) != 1 or await is_upstream(layer):
        return None
    text = "\n".join((_version(), *builds.pop()))
    return f"fp_{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@functools.cache
def _version() -> str:
    try:
        return version("chatstream-server")
    except PackageNotFoundError:  # run from its source
        return ""


def _set_name() -> str:
    settings = conf.get()
    if settings.upstream_url:
        return shown_name(settings.upstream_model or settings.model) or ALIAS
    return shown_name(settings.model) or DEFAULT_MODEL.display_name
