"""`transformers serve` with the default model: an OpenAI-compatible server that is not ours."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx

from streaming.engine.models.store import ModelFolder, ensure_model
from tests.support.prerequisites import missing
from tests.support.processes import START_SECONDS, STOP_SECONDS, clean_environ
from tests.support.valkey import free_port


def _plain(model: ModelFolder, folder: Path) -> str:
    """A folder that transformers can load by itself, which has the weights beside the rest."""
    import torch

    from streaming.engine.local.loading.model_loader import load_model

    target = folder / model.path.name
    shutil.copytree(model.path, target, ignore=shutil.ignore_patterns("*.gguf", "*gguf.json"))
    load_model(model.path, torch.bfloat16).save_pretrained(target)
    return str(target)


class TransformersServer:
    """It keeps its port over `kill()` and `start()`; what it prints is in the folder."""

    def __init__(self, folder: Path) -> None:
        for module in ("fastapi", "accelerate", "uvicorn", "openai"):
            if importlib.util.find_spec(module) is None:
                missing(f"transformers serve needs {module}")
        cache = os.environ.get("CHATSTREAM_CACHE_DIR")
        model = ensure_model(None, Path(cache) if cache else None, progress=False)
        self.model = _plain(model, folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._log = folder / "transformers-serve.log"
        hub = folder / "hub"  # an empty one: it lists what is there
        hub.mkdir()
        self._env = clean_environ(
            HF_HUB_CACHE=str(hub), HF_HUB_OFFLINE="1", OMP_WAIT_POLICY="PASSIVE"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> TransformersServer:
        """Returns when it answers."""
        command = [str(Path(sys.executable).with_name("transformers")), "serve", self.model]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--device", "cpu", "--dtype", "float32"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._env, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"it does not start:\n{self._log.read_text()}")
            time.sleep(0.2)
        return self

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url.replace("/v1", "/health"), timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None
