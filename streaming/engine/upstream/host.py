"""What an answer uses of its engine."""

from __future__ import annotations

from typing import Protocol

from streaming.engine.upstream.dialect import Dialect
from streaming.engine.upstream.served_model import ServedModel
from streaming.engine.upstream.server import UpstreamServer


class Upstream(Protocol):
    """The part of UpstreamEngine that its answers use."""

    server: UpstreamServer
    dialect: Dialect
    patience_seconds: float
    pause_seconds: float

    @property
    def model(self) -> ServedModel:
        """Return the model that is asked for."""

    @property
    def context_tokens(self) -> int:
        """Return the context in tokens; 0 if nobody says."""

    def look(self) -> None:
        """Ask for the server's health now."""

    def heard(self) -> None:
        """Take note that the server has just said something."""
