"""What an answer needs to know of its engine."""

from __future__ import annotations

from typing import Protocol

from streaming.engine.upstream.dialect import Dialect
from streaming.engine.upstream.remote import ServedModel, UpstreamServer


class Upstream(Protocol):
    """Of the engine, what its answers use."""

    server: UpstreamServer
    dialect: Dialect
    patience_seconds: float
    pause_seconds: float

    @property
    def model(self) -> ServedModel: ...

    @property
    def context_tokens(self) -> int: ...

    def look(self) -> None:
        """Ask for the server's health now."""

    def heard(self) -> None:
        """It has just said something."""
