"""How much memory a model takes while it is loaded, beside what it takes afterwards.

A model of 1.1B parameters in the shape of Llama, with weights of chance, is loaded in processes of
its own: made from safetensors in bfloat16, made from a GGUF file in Q8_0, and read from what the
first start has kept of it.
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
from streaming.engine.local.loading.kept import KeptPass
from streaming.engine.local.runner import ModelRunner
from streaming.engine.models.store import ensure_model

model, cache, dtype = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if model.suffix == ".gguf":
    model = ensure_model(str(model), cache, progress=False).path
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
    """Measure peaks and times of loading one model from each kind of file; return the section."""
    section = Section("loading", "Memory while a model is loaded")
    table = Table(["loaded from", "GB at the most", "GB that stay", "ratio", "seconds"])
    with tempfile.TemporaryDirectory(prefix="chatstream-loading-") as temporary:
        folder, file = Path(temporary) / "model", Path(temporary) / "model.gguf"
        shape = SMALLER if options.quick else SHAPE
        say("writing a model with weights of chance, twice")
        write_model(folder, shape)
        write_gguf(file, shape)
        sources = {"safetensors": folder, "what was kept": folder, "GGUF": file}
        for source, model in sources.items():
            say(f"loading it from {source}")
            found = load(model, Path(temporary) / "cache", options.dtype)
            if found["was_kept"] != (source == "what was kept"):
                continue
            ratio = found["peak"] / found["stays"]
            table.add(source, found["peak"] / 1e9, found["stays"] / 1e9, ratio, found["seconds"])
            name = source.replace("what was kept", "kept").lower()
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


def write_gguf(path: Path, shape: dict[str, int]) -> None:
    """The same shape as llama.cpp writes it, with a vocabulary of bytes and of nothing."""
    import gguf
    import numpy as np
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    hidden, inner, words = shape["hidden_size"], shape["intermediate_size"], shape["vocab_size"]
    heads, kv_heads = shape["num_attention_heads"], shape["num_key_value_heads"]
    kept = kv_heads * (hidden // heads)
    writer = gguf.GGUFWriter(path, "llama", use_temp_file=True)
    writer.add_block_count(shape["num_hidden_layers"])
    writer.add_context_length(shape["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_vocab_size(words)
    tokens = [*bytes_to_unicode().values(), "<eos>", "he"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*tokens, *(f"[PAD{at}]" for at in range(len(tokens), words))])
    writer.add_token_types([1] * 256 + [3, 1] + [5] * (words - len(tokens)))
    writer.add_token_merges(["h e"])
    writer.add_eos_token_id(256)
    writer.add_chat_template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    products = {
        "attn_q": (hidden, hidden), "attn_k": (kept, hidden), "attn_v": (kept, hidden),
        "attn_output": (hidden, hidden), "ffn_gate": (inner, hidden), "ffn_up": (inner, hidden),
        "ffn_down": (hidden, inner),
    }  # fmt: skip
    shapes = {"token_embd": (words, hidden), "output": (words, hidden)}
    norms = ["output_norm"]
    for layer in range(shape["num_hidden_layers"]):
        shapes |= {f"blk.{layer}.{name}": each for name, each in products.items()}
        norms += [f"blk.{layer}.attn_norm", f"blk.{layer}.ffn_norm"]
    generator = np.random.default_rng(1)
    for name in norms:
        writer.add_tensor(f"{name}.weight", np.ones(hidden, np.float32))
    scale = np.frombuffer(np.float16(1 / 50 / 74).tobytes(), np.uint8)  # 74: of bytes by chance
    for name, (outputs, inputs) in shapes.items():
        blocks = generator.integers(0, 256, (outputs, inputs // 32, 34), np.uint8)
        blocks[..., :2] = scale
        q8_0 = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(f"{name}.weight", blocks.reshape(outputs, -1), raw_dtype=q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
