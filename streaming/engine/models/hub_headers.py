"""Describes the tensors of a model on the Hugging Face Hub by their headers, which is enough to
know whether a model of hundreds of gigabytes can be served before it is downloaded."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from streaming.engine.base import EngineError
from streaming.engine.models.tensor_source import DTYPES


class HubHeaders:
    """A `TensorSource` with names, shapes and formats, from which no tensor can be read.

    Raises EngineError if the headers cannot be fetched or have an unknown format.
    """

    def __init__(self, name: str) -> None:
        import huggingface_hub

        self._name = name
        try:
            found = huggingface_hub.get_safetensors_metadata(name)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise EngineError(
                f"The headers of {name} could not be fetched from the Hugging Face Hub ({reason}).",
                "model_unavailable",
            ) from error
        self._tensors: dict[str, tuple[tuple[int, ...], torch.dtype]] = {}
        for file in found.files_metadata.values():
            for tensor, told in file.tensors.items():
                if told.dtype not in DTYPES:
                    raise EngineError(f"{tensor} of {name} has the format {told.dtype}.")
                self._tensors[tensor] = tuple(told.shape), DTYPES[told.dtype]

    def names(self) -> Collection[str]:
        """Return the names of all tensors in the headers."""
        return self._tensors.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape. Raises KeyError for an unknown name."""
        return self._tensors[name][0]

    def dtype(self, name: str) -> torch.dtype:
        """Return a tensor's format in the file. Raises KeyError for an unknown name."""
        return self._tensors[name][1]

    def read(self, name: str, wanted: torch.dtype | None = None) -> Tensor:
        """Raise EngineError (`model_unavailable`): only the headers are here."""
        raise EngineError(f"{name} of {self._name} is not on this machine.", "model_unavailable")
