from __future__ import annotations

import pytest

from streaming.engine.local.attention import ring_slots


@pytest.fixture(autouse=True)
def small_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of these tests are longer than what a layer with a window keeps of them."""
    monkeypatch.setattr(ring_slots, "LEAST_SPARE", 8)
