"""How much memory a model takes while it is loaded, beside what it takes afterwards.

A model of 1.1B parameters in the shape of Llama, with weights of chance in bfloat16, is loaded in
processes of its own: made from its file, and read from what the first start has kept of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.options import Options, say
from benchmarks.report import Section, Table

SHAPE = {
    "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
    "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000,
    "max_position_embeddings": 2048,
}  # fmt: skip
SMALLER = {**SHAPE, "hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 16}

_PROGRAM = """
import ctypes, json, resource, sys, time
from pathlib import Path
import psutil, torch
from streaming.engine.local.kept import KeptPass
from streaming.engine.local.runner import ModelRunner

model, cache, dtype = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
before = psutil.Process().memory_info().rss
began = time.perf_counter()
kept = KeptPass(cache, model, torch.device("cpu"), dtype, 2048)
packed = kept.load()
runner = ModelRunner(model, torch.device("cpu"), dtype, 4, 2048, packed=packed, keep=kept.keep)
seconds = time.perf_counter() - began
ctypes.CDLL(None).malloc_trim(0)  # as the engine does
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
peak *= 1 if sys.platform == "darwin" else 1024
print(json.dumps({
    "before": before, "peak": peak, "stays": psutil.Process().memory_info().rss,
    "seconds": seconds, "parameters": runner.parameters, "dtype": runner.precision.name,
    "was_kept": packed is not None,
}))
"""


def measure(options: Options) -> Section:
    section = Section("loading", "Memory while a model is loaded")
    table = Table(["loaded from", "GB at the most", "GB that stay", "ratio", "seconds"])
    with tempfile.TemporaryDirectory(prefix="chatstream-loading-") as temporary:
        folder = Path(temporary) / "model"
        say("writing a model with weights of chance")
        write_model(folder, SMALLER if options.quick else SHAPE)
        for source in ("safetensors", "what was kept"):
            say(f"loading it from {source}")
            found = load(folder, Path(temporary) / "cache", options.dtype)
            if source != "safetensors" and not found["was_kept"]:
                continue
            ratio = found["peak"] / found["stays"]
            table.add(source, found["peak"] / 1e9, found["stays"] / 1e9, ratio, found["seconds"])
            name = source.replace("what was kept", "kept")
            section.figures[f"peak_ratio_{name}"] = ratio
            section.figures[f"peak_gb_{name}"] = found["peak"] / 1e9
            section.figures[f"stays_gb_{name}"] = found["stays"] / 1e9
            section.figures[f"seconds_{name}"] = found["seconds"]
    section.tables.append(table)
    section.notes.append(
        f"{found['parameters'] / 1e9:.2f}B parameters in {found['dtype']}. All of the process is "
        f"counted: {found['before'] / 1e9:.2f} GB of it are Python and torch."
    )
    return section


def load(model: Path, cache: Path, dtype: str) -> dict[str, Any]:
    """What a process says that loads it."""
    program = [sys.executable, "-c", _PROGRAM, str(model), str(cache), dtype]
    ended = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def write_model(folder: Path, shape: dict[str, int]) -> None:
    """A folder as transformers writes it, with a file for each layer."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, LlamaConfig

    folder.mkdir()
    config = LlamaConfig(**shape)
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = AutoModelForCausalLM.from_config(config).state_dict()
    files: dict[str, list[str]] = {}
    for name in shapes:
        part = name.split(".")[2] if name.startswith("model.layers.") else "rest"
        files.setdefault(f"model-{part}.safetensors", []).append(name)
    generator = torch.Generator().manual_seed(1)
    for file, names in files.items():
        tensors = {}
        for name in names:
            spread = torch.randn(shapes[name].shape, generator=generator) / 50
            tensors[name] = (1 + spread if "norm" in name else spread).bfloat16()
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = {name: file for file, names in files.items() for name in names}
    written = json.dumps({"metadata": {}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(written, encoding="utf-8")
