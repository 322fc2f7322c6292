"""The settings, but that what is left to a worker is left to it for longer than any test lasts."""

from chatsite.settings import *  # noqa: F403
from chatsite.settings import CHANNEL_LAYERS

CHANNEL_LAYERS["default"]["CONFIG"]["reserved_seconds"] = 3600  # type: ignore[index]
