"""The keys of a GGUF file's metadata by which llama.cpp computes, and whether all were used.

They begin with the architecture's name. A key that the conversion has not taken in the end is a
refusal that names it: a model without, say, its attention's scale would answer, but wrongly.
"""

from __future__ import annotations

from typing import Any

from streaming.engine.base import EngineError
from streaming.engine.models.gguf.header import Array, Header

_NOTHING = {
    "vocab_size",  # the table of embeddings says it, and is compared
    "rope.scaling.finetuned", "tensor_data_layout", "attention.causal", "nextn_predict_layers",
    "expert_count", "expert_used_count",
}  # fmt: skip
"""Keys that change nothing, or nothing with the only value that `_check_plain` lets pass."""


class Facts:
    """The keys of a header below its architecture's name; `finish` names those that nobody took."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._prefix = f"{header.architecture}."
        self._left = {
            key.removeprefix(self._prefix)
            for key in header.metadata
            if key.startswith(self._prefix)
        }

    def refusal(self, reason: str) -> EngineError:
        """Return the error `model_unsupported` that names the file and the reason."""
        return EngineError(f"{self.header.path} cannot be served: {reason}.", "model_unsupported")

    def take(self, key: str, default: Any = None) -> Any:
        """Return a key's value; of an array whose values are all the same, that one. Raises
        EngineError if they differ."""
        self._left.discard(key)
        value = self.header.metadata.get(self._prefix + key, default)
        if isinstance(value, Array):
            values = self.header.values(self._prefix + key) or []
            if len({*values}) != 1:
                raise self.refusal(f"{self._prefix}{key} differs between its layers")
            return values[0]
        return value

    def take_list(self, key: str) -> list[Any] | None:
        """Return an array's values (a scalar as a list of one), or None if the key is missing."""
        self._left.discard(key)
        return self.header.values(self._prefix + key)

    def need(self, key: str) -> Any:
        """Return a key's value as `take` does. Raises EngineError if it is missing."""
        value = self.take(key)
        if value is None:
            raise self.refusal(f"it lacks {self._prefix}{key}")
        return value

    def count(self, key: str) -> int:
        """Return a key's value as a positive integer. Raises EngineError if it is not one."""
        value = self.need(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.refusal(f"{self._prefix}{key} is {value}")
        return value

    def has(self, tensor: str) -> bool:
        """Return whether the file has a tensor of this name."""
        return tensor in self.header.tensors

    def finish(self) -> None:
        """Raise EngineError if a key was not taken that may change what is computed."""
        if left := sorted(self._left - _NOTHING):
            named = ", ".join(self._prefix + key for key in left[:5])
            raise self.refusal(
                f"its metadata has {named}{' and more' if len(left) > 5 else ''}, which is not "
                "carried over, so its answers would be wrong"
            )
