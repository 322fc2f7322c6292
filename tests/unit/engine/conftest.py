"""The real default model, loaded once for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.engine.local import LocalEngine
from streaming.engine.models.store import ModelFolder, ensure_model
from tests.support.gemma import gemma_gguf
from tests.unit.engine.gathered import Gathered


@pytest.fixture(scope="session")
def cache_dir() -> Path | None:
    configured = os.environ.get("CHATSTREAM_CACHE_DIR")
    return Path(configured) if configured else None


@pytest.fixture(scope="session")
def model_folder(cache_dir: Path | None) -> ModelFolder:
    return ensure_model(None, cache_dir, progress=False)


@pytest.fixture(scope="session")
def gemma() -> Path:
    """The GGUF file of Gemma 3 270M, see `tests.support.gemma`."""
    return gemma_gguf()


@pytest.fixture(scope="session")
def gathered(model_folder: ModelFolder, cache_dir: Path | None) -> Iterator[Gathered]:
    """An engine of 16 rows in float32, shared by the tests of this folder."""
    engine = LocalEngine(
        None,
        device="cpu",
        dtype="float32",
        max_running=16,
        cache_dir=cache_dir,
        prefill_chunk=128,
        progress=False,
    )
    gathered = Gathered(engine)
    engine.start(gathered.sink)
    yield gathered
    engine.close()
