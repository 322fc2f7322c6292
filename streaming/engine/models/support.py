"""Tells from a configuration alone whether the slot cache can serve a model.

The cache keeps one key and one value per token, layer and head; a token attends to those before
it, or to some of them (`layer_kinds`). A model with another kind of memory would answer wrongly, so
it is refused with the reason.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaming.engine.base import EngineError
from streaming.engine.faults import Faults, told_by
from streaming.engine.models.adapter_folder import refuse_adapter_beside
from streaming.engine.models.language_part import language_config, other_part_reason
from streaming.engine.models.layer_kinds import CHUNKED, FULL, NOTHING, SLIDING, layer_kinds
from streaming.engine.models.quantised import refuse_unreadable
from streaming.engine.templates.choice import of_processor

DEFAULT_CONTEXT_TOKENS = 4096
LEAST_CONTEXT_TOKENS = 16
"""Fewer tokens hold no conversation, nor what the self-check reads."""

CACHE_ARGUMENTS = ("cache", "past_key_values")
"""Names of the argument for the cache: since transformers 5.24, and before."""


@dataclass(frozen=True, slots=True)
class Support:
    """What a model's configuration says.

    - `whole`: the configuration of all parts; `config`: that of the language part; None: it cannot
      be read
    - `own_context`: tokens that the model can read (None: it does not say); `context`: tokens that
      are served
    - `reason`: why no model of this configuration can be served; empty if one can
    """

    whole: Any
    config: Any
    own_context: int | None
    context: int
    reason: str = ""


def check_supported(
    path: Path | str, context_tokens: int | None = None, adapter: Path | None = None,
    *, has_template: bool = False,
) -> int:  # fmt: skip
    """Return the context to serve, in tokens.

    The arguments are those of `support_of` and `open_tokenizer`. Raises EngineError with the first
    reason why the model cannot be served.
    """
    support = support_of(path, context_tokens, adapter, Faults(strict=True))
    open_tokenizer(path, has_template=has_template)
    return support.context


def support_of(
    path: Path | str, context_tokens: int | None, adapter: Path | None, faults: Faults
) -> Support:
    """Return what the configuration of the model in the folder `path` says; reasons why it cannot
    be served are added to `faults`.

    `context_tokens` None: the smaller of the model's own and 4096. `adapter`: the folder of one
    that is to be merged. No weights are read.
    """
    from transformers import AutoConfig

    with faults.noted():
        refuse_adapter_beside(Path(path), adapter)
    try:
        whole: Any = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
    except Exception as error:
        faults.add(_refusal(f"its configuration cannot be read ({told_by(error)})"))
        return Support(None, None, None, DEFAULT_CONTEXT_TOKENS)
    with faults.noted():
        refuse_unreadable(whole, path)
    config = language_config(whole)
    own = _own_context(config)
    context = min(own or DEFAULT_CONTEXT_TOKENS, DEFAULT_CONTEXT_TOKENS)
    with faults.noted():
        context = _context_tokens(own, context_tokens)
    if reason := reason_against(whole):
        faults.add(_refusal(reason))
    return Support(whole, config, own, context, reason)


def reason_against(config: Any) -> str:
    """Return why no model of this configuration can be served, whatever its tokenizer and weights;
    empty if one can."""
    if reason := other_part_reason(config):
        return reason
    config = language_config(config)
    return _config_reason(config) or _pass_reason(config)


def _pass_reason(config: Any) -> str:
    from streaming.engine.models.architecture import misfit

    return _class_reason(config) if misfit(config) else ""


def _refusal(reason: str) -> EngineError:
    return EngineError(f"This model cannot be served: {reason}.", "model_unsupported")


def _own_context(config: Any) -> int | None:
    names = ("max_position_embeddings", "n_positions", "max_seq_len")
    own = next((length for name in names if (length := getattr(config, name, None))), None)
    if kept := getattr(config, "keep_window_size", None):
        # Beyond so many tokens Doge attends to those of the largest weight. Which of several
        # equals it takes depends on how a text is cut into chunks.
        own = min(own or kept, kept)
    return own


def _context_tokens(own: int | None, asked: int | None) -> int:
    least = LEAST_CONTEXT_TOKENS
    if own and own < least:
        raise _refusal(f"it reads {own} tokens, and {least} are the least")
    if asked is None:
        return min(own or DEFAULT_CONTEXT_TOKENS, DEFAULT_CONTEXT_TOKENS)
    if asked < least:
        raise EngineError(f"CHATSTREAM_CONTEXT_TOKENS={asked} is too small: {least} is the least.")
    if own and asked > own:
        raise EngineError(
            f"CHATSTREAM_CONTEXT_TOKENS={asked} is more than the {own} tokens that this model "
            "can read."
        )
    return asked


def _config_reason(config: Any) -> str:
    if getattr(config, "is_encoder_decoder", None):
        return "it is an encoder-decoder model, and only decoder-only chat models are"
    for name in ("use_bidirectional_attention", "is_causal"):
        if getattr(config, name, None) in _BOTH_WAYS[name]:
            return "its tokens see those that come after them, so it does not write"
    try:
        kinds = {each.kind for each in layer_kinds(config)}
    except ValueError as error:
        return str(error)
    except Exception as error:  # a configuration of a kind of its own
        return f"the kinds of its layers cannot be told ({told_by(error)})"
    if other := sorted(kinds - {FULL, SLIDING, CHUNKED, NOTHING}):
        return f"it has layers of the kind {', '.join(other)}, not plain attention"
    return ""


_BOTH_WAYS: dict[str, tuple[Any, ...]] = {
    "use_bidirectional_attention": (True, "all"),
    "is_causal": (False,),
}


def _class_reason(config: Any) -> str:
    """Why transformers' class for this configuration cannot be run over our cache; empty if it can.
    Imports transformers' code for it, which takes a second."""
    from transformers import AutoModelForCausalLM

    kind = getattr(config, "model_type", type(config).__name__)
    try:
        model_class: Any = AutoModelForCausalLM._model_mapping[type(config)]
    except KeyError:
        return f"models of the type {kind} do not generate text"
    if getattr(model_class, "_is_stateful", False) and not getattr(config, "layer_types", None):
        return f"models of the type {kind} keep a recurrent state (state space or linear attention)"
    accepted = set(inspect.signature(model_class.forward).parameters)
    lacking = {"position_ids", "attention_mask"} - accepted
    if kind in _BIASED:
        lacking -= {"position_ids"}
    if not accepted & set(CACHE_ARGUMENTS):
        lacking.add("a cache")
    if lacking:
        return f"models of the type {kind} do not take {' or '.join(sorted(lacking))}"
    return ""


_BIASED = {"bloom", "mpt"}
"""By `model_type`: these have no positions; a bias (ALiBi) tells how far away a key is."""


def cache_argument(model_class: Any) -> str:
    """Return which of CACHE_ARGUMENTS a supported model takes."""
    accepted = inspect.signature(model_class.forward).parameters
    return next(name for name in CACHE_ARGUMENTS if name in accepted)


def open_tokenizer(
    path: Path | str, load: Callable[[], Any] | None = None, *, has_template: bool = False
) -> Any:
    """Return the tokenizer of the model in a folder, by `load` if it is given.

    `has_template`: a chat template comes from elsewhere. Raises EngineError if the model cannot be
    served with the tokenizer.
    """
    from transformers import AutoTokenizer

    try:
        if load is None:
            tokenizer: Any = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
        else:
            tokenizer = load()
    except Exception as error:
        raise _refusal(f"its tokenizer cannot be read ({told_by(error)})") from error
    if not tokenizer.is_fast:
        raise _refusal("its tokenizer has no tokenizer.json form")
    has_own = isinstance(tokenizer.chat_template, str | dict) and bool(tokenizer.chat_template)
    if not (has_template or has_own or of_processor(path)):
        raise _refusal(
            "it has no chat template, so it may be no chat model; CHATSTREAM_CHAT_TEMPLATE can "
            "name a file with one"
        )
    return tokenizer
