"""Says whether the slot cache can serve a model, from its configuration alone.

The cache keeps one key and one value per token, layer and head, and every token attends to all
before it. Whatever remembers in another way would answer wrongly, so it is refused with the
reason.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from streaming.engine.adapter_folder import refuse_adapter_beside
from streaming.engine.base import EngineError

DEFAULT_CONTEXT_TOKENS = 4096
CACHE_ARGUMENTS = ("cache", "past_key_values")
"""What transformers calls the cache since 5.24, and before."""

_PLAIN_LAYERS = {"full_attention", "sliding_attention", "attention", "moe", "mlp"}


def check_supported(
    path: Path | str, context_tokens: int | None = None, adapter: Path | None = None,
    *, has_template: bool = False,
) -> int:  # fmt: skip
    """Return the context length to serve (tokens), or raise EngineError with the reason.

    `context_tokens` None means the smaller of the model's own and 4096; `adapter` is the folder of
    one that is to be merged. Weights are not loaded. `has_template`: a chat template comes from
    elsewhere.
    """
    from transformers import AutoConfig

    from streaming.engine.local.decoder import fits  # brings torch, which takes seconds
    from streaming.engine.local.quantised import refuse_unreadable

    refuse_adapter_beside(Path(path), adapter)
    try:
        config = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
    except Exception as error:
        raise _refusal(f"its configuration cannot be read ({_first_line(error)})") from error
    refuse_unreadable(config, path)
    context = _context_tokens(config, context_tokens)
    if reason := _config_reason(config, context):
        raise _refusal(reason)
    if not fits(config) and (reason := _class_reason(config)):
        raise _refusal(reason)
    if reason := _tokenizer_reason(path, has_template):
        raise _refusal(reason)
    return context


def _refusal(reason: str) -> EngineError:
    return EngineError(f"This model cannot be served: {reason}.", "model_unsupported")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _context_tokens(config: Any, asked: int | None) -> int:
    own = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if isinstance(rope, dict) and rope.get("rope_type") == "longrope":
        # beyond this length longrope turns every row's positions, running ones included
        own = rope.get("original_max_position_embeddings") or own
    if asked is None:
        return min(own or DEFAULT_CONTEXT_TOKENS, DEFAULT_CONTEXT_TOKENS)
    if asked < 16:
        raise EngineError(f"CHATSTREAM_CONTEXT_TOKENS={asked} is too small: 16 is the least.")
    if own and asked > own:
        raise EngineError(
            f"CHATSTREAM_CONTEXT_TOKENS={asked} is more than the {own} tokens that this model "
            "can read."
        )
    return asked


def _config_reason(config: Any, context: int) -> str:
    def has(name: str) -> bool:
        return bool(getattr(config, name, None))

    if has("is_encoder_decoder"):
        return "it is an encoder-decoder model, and only decoder-only chat models are"
    if has("vision_config") or has("audio_config"):
        return "it also reads images or sound, and only text models are"
    if has("kv_lora_rank"):
        return "it keeps its memory as latents (multi-head latent attention)"
    if has("num_kv_shared_layers") or has("kv_sharing_modes"):
        return "its layers share their memory of earlier tokens with each other"
    if has("attention_chunk_size"):
        return "it attends in chunks"
    if has("alibi"):
        return "it uses ALiBi instead of positions"
    other = sorted(set(getattr(config, "layer_types", None) or ()) - _PLAIN_LAYERS)
    if other:
        return f"it has layers of the kind {', '.join(other)}, not plain attention"
    window = getattr(config, "sliding_window", None)
    slides = "sliding_attention" in (getattr(config, "layer_types", None) or ("sliding_attention",))
    if window and slides and getattr(config, "use_sliding_window", True) and window < context:
        return (
            f"its attention slides over a window of {window} tokens; with "
            f"CHATSTREAM_CONTEXT_TOKENS={window} or less it can be served"
        )
    return ""


def _class_reason(config: Any) -> str:
    """Of models that our own pass does not compute; it imports transformers' code for them, which
    takes a second."""
    from transformers import AutoModelForCausalLM

    kind = getattr(config, "model_type", type(config).__name__)
    try:
        model_class: Any = AutoModelForCausalLM._model_mapping[type(config)]
    except KeyError:
        return f"models of the type {kind} do not generate text"
    if getattr(model_class, "_is_stateful", False):
        return f"models of the type {kind} keep a recurrent state (state space or linear attention)"
    accepted = set(inspect.signature(model_class.forward).parameters)
    lacking = {"position_ids", "attention_mask"} - accepted
    if not accepted & set(CACHE_ARGUMENTS):
        lacking.add("a cache")
    if lacking:
        return f"models of the type {kind} do not take {' or '.join(sorted(lacking))}"
    return ""


def cache_argument(model_class: Any) -> str:
    """Which of CACHE_ARGUMENTS a model that is supported takes."""
    accepted = inspect.signature(model_class.forward).parameters
    return next(name for name in CACHE_ARGUMENTS if name in accepted)


def _tokenizer_reason(path: Path | str, has_template: bool) -> str:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    except Exception as error:
        return f"its tokenizer cannot be read ({_first_line(error)})"
    if not tokenizer.is_fast:
        return "its tokenizer has no tokenizer.json form"
    has_own = isinstance(tokenizer.chat_template, str | dict) and bool(tokenizer.chat_template)
    if not (has_template or has_own):
        return (
            "it has no chat template, so it may be no chat model; CHATSTREAM_CHAT_TEMPLATE can "
            "name a file with one"
        )
    return ""
