"""What people call a model tells nothing of where it lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.engine.models.model_name import shown_name
from streaming.engine.upstream.engine import UpstreamEngine
from streaming.monitoring import tracing
from tests.support.fake_upstream import FakeUpstream


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("gpt-4o", "gpt-4o"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct"),
        ("openrouter/meta/llama-3:free", "openrouter/meta/llama-3:free"),
        ("hf.co/unsloth/Qwen3-GGUF:Q4_K_M", "hf.co/unsloth/Qwen3-GGUF:Q4_K_M"),
        ("accounts/fireworks/models/llama-v3", "accounts/fireworks/models/llama-v3"),
        ("/srv/models/secret-place/mine", "mine"),
        ("/srv/models/mine/", "mine"),
        ("/models/Qwen2.5-7B.Q4_K_M.gguf", "Qwen2.5-7B.Q4_K_M"),
        ("models/mine.gguf", "mine"),
        ("mine.gguf", "mine"),
        ("./mine", "mine"),
        ("../up/mine", "mine"),
        ("~/models/mine", "mine"),
        (r"C:\models\mine.gguf", "mine"),
        (r"\\host\share\mine", "mine"),
        ("file:///srv/mine", "mine"),
        ("/cache/hub/models--Qwen--Qwen2.5-7B/snapshots/0a1b2c", "Qwen/Qwen2.5-7B"),
        ("/hub/models--gpt2/snapshots/0a1b2c", "gpt2"),
        ("/", "model"),
    ],
)
def test_the_name_without_the_path(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_a_folder_that_is_here_is_no_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert shown_name("secret/mine") == "mine"
    assert shown_name("secret/other") == "secret/other"
    monkeypatch.chdir(tmp_path / "secret" / "mine")
    assert shown_name(".") == "mine"


def test_an_upstreams_path_is_shown_to_nobody(upstream: FakeUpstream) -> None:
    path = "/srv/secret-place/mine.gguf"
    engine = UpstreamEngine(upstream.url, model=path)
    engine.start(lambda events: None)
    try:
        assert engine.model.name == path  # what the server is asked for
        assert engine.info.name == "mine"
    finally:
        engine.close()


def test_traces_have_the_name_alone(settings: object) -> None:
    settings.CHATSTREAM = {**settings.CHATSTREAM, "model": "/srv/secret-place/mine"}  # type: ignore[attr-defined]
    assert tracing._model_name() == "mine"


@pytest.fixture
def upstream() -> object:
    server = FakeUpstream().start()
    yield server
    server.stop()
