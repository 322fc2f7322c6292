"""The engine that runs a model in this process, with torch and transformers."""

from streaming.engine.local.engine import LocalEngine

__all__ = ["LocalEngine"]
