"""Makes a tokenizer of the vocabulary in a GGUF file's metadata.

Two kinds are converted: byte-level BPE (`gpt2`), whose merges are in the file, and SentencePiece's
(`llama`), whose merges follow from its scores. How text is split before it is merged is not in the
file, only a name for it (`pretokenizers`); an unknown name is a refusal, since another split gives
other tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from streaming.engine.base import EngineError
from streaming.engine.models.gguf.header import Header
from streaming.engine.models.gguf.pretokenizers import (
    COMPOSED,
    DIGITS_APART,
    GPT2,
    SPLITS,
    WHOLE_FIRST,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CONTROL, _USER_DEFINED = 3, 4
_SPACE = "\u2581"  # what SentencePiece writes for a space


def tokenizer_of(header: Header) -> Any:
    """Make transformers' tokenizer, with the file's chat templates. Raises EngineError as
    `check_tokenizer`, and if the vocabulary is damaged."""
    import transformers
    from tokenizers import AddedToken, processors

    auto: Any = transformers.PreTrainedTokenizerFast  # it has no annotations
    check_tokenizer(header)
    tokens = _tokens(header)
    kinds = header.values("tokenizer.ggml.token_type") or []
    if header.metadata["tokenizer.ggml.model"] == "gpt2":
        made = _byte_level(header, tokens)
    else:
        tokens = [_respelled(token) for token in tokens]
        made = _sentencepiece(header, tokens)
    for kind, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [
            AddedToken(token, normalized=False, special=special)
            for token, each in zip(tokens, kinds, strict=True)
            if each == kind and token.strip(_SPACE)
        ]
        (made.add_special_tokens if special else made.add_tokens)(added)
    named = {
        name: tokens[number]
        for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"),
                          ("pad_token", "padding"))
        if (number := header.metadata.get(f"tokenizer.ggml.{key}_token_id")) is not None
    }  # fmt: skip
    if _begins(header) and (bos := named.get("bos_token")):
        made.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1",
            special_tokens=[(bos, made.token_to_id(bos))],
        )  # fmt: skip
    found = auto(tokenizer_object=made, **named)
    found.chat_template = chat_templates(header)
    return found


def check_tokenizer(header: Header) -> None:
    """Raise EngineError if the tokenizer is of a kind that cannot be made, told from the header
    alone."""
    metadata = header.metadata

    def refusal(reason: str) -> EngineError:
        return EngineError(f"{header.path} cannot be served: {reason}.", "model_unsupported")

    model, split = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if model not in ("gpt2", "llama"):
        raise refusal(f"its tokenizer is of the kind {model}, of which none is made")
    lists = ["tokens", "token_type"]
    if model == "gpt2":
        lists.append("merges")
        if split not in SPLITS:
            said = f"splits text by {split}" if split else "does not say how it splits text"
            raise refusal(f"its tokenizer {said} (tokenizer.ggml.pre), so its tokens are not known")
    else:
        lists.append("scores")
    for name in lists:
        if not hasattr(metadata.get(f"tokenizer.ggml.{name}"), "count"):
            raise refusal(f"it lacks tokenizer.ggml.{name}")
    count = metadata["tokenizer.ggml.tokens"].count
    if metadata["tokenizer.ggml.token_type"].count != count:
        raise refusal("it does not say of each of its tokens what it is")
    table = header.tensors.get("token_embd.weight")
    if table is not None and count > table.shape[0]:
        raise refusal(f"it has {count} tokens, and weights for {table.shape[0]}")
    for key, number in metadata.items():
        is_token = key.startswith("tokenizer.ggml.") and key.endswith("_token_id")
        if is_token and not (isinstance(number, int) and 0 <= number < count):
            raise refusal(f"{key} is {number}, which is none of its tokens")


def end_ids_of(header: Header) -> list[int]:
    """Return the ids of the tokens that end a text, a turn and a message."""
    found = (
        header.metadata.get(f"tokenizer.ggml.{each}_token_id") for each in ("eos", "eot", "eom")
    )
    return list(dict.fromkeys(number for number in found if number is not None))


def chat_templates(header: Header) -> str | dict[str, str] | None:
    """Return the file's chat template, or several by their names; None if it has none."""
    prefix = "tokenizer.chat_template"
    metadata = header.metadata
    named = {
        key.removeprefix(f"{prefix}."): value
        for key, value in metadata.items()
        if key.startswith(f"{prefix}.") and isinstance(value, str)
    }
    default = metadata.get(prefix)
    if not named:
        return default if isinstance(default, str) and default else None
    return {**({"default": default} if isinstance(default, str) else {}), **named}


def _begins(header: Header) -> bool:
    """Whether the tokenizer puts BOS before a text."""
    usual = (
        header.metadata["tokenizer.ggml.model"] == "llama"
        or header.metadata.get("tokenizer.ggml.pre") in WHOLE_FIRST
    )
    return bool(header.metadata.get("tokenizer.ggml.add_bos_token", usual))


def _tokens(header: Header) -> list[str]:
    values = header.values("tokenizer.ggml.tokens") or []
    tokens = [token or f"[EMPTY_{at}]" for at, token in enumerate(values)]
    if len(set(tokens)) != len(tokens):
        raise EngineError(f"{header.path} is damaged: it has a token twice.", "model_corrupt")
    return tokens


def _byte_level(header: Header, tokens: list[str]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    split = header.metadata["tokenizer.ggml.pre"]
    vocabulary = {token: at for at, token in enumerate(tokens)}
    merges = [tuple(each.split(" ", 1)) for each in header.values("tokenizer.ggml.merges") or []]
    try:
        made = Tokenizer(
            models.BPE(vocab=vocabulary, merges=merges, ignore_merges=split in WHOLE_FIRST)
        )
    except Exception as error:  # of the library: a merge of what is no token
        raise EngineError(
            f"{header.path} is damaged: its tokenizer cannot be made ({error}).", "model_corrupt"
        ) from error
    if split in COMPOSED:
        made.normalizer = normalizers.NFC()
    steps: list[Any] = []
    patterns = SPLITS[split]
    if patterns is DIGITS_APART:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    elif patterns is not GPT2:
        steps += [pre_tokenizers.Split(Regex(each), behavior="isolated") for each in patterns]
    own = patterns in (GPT2, DIGITS_APART)
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own))
    made.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    made.decoder = decoders.ByteLevel()
    return made


def _sentencepiece(header: Header, tokens: list[str]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary = {token: at for at, token in enumerate(tokens)}
    unknown = header.metadata.get("tokenizer.ggml.unknown_token_id", 0)
    gemma = header.architecture.startswith("gemma")
    scores = header.values("tokenizer.ggml.scores") or []
    # Gemma's merges are in the order of its tokens, whatever their scores.
    ranks = [-float(at) for at in range(len(tokens))] if gemma else scores
    made = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=[*_merges(vocabulary, tokens, ranks)], byte_fallback=True,
            fuse_unk=True, unk_token=tokens[unknown],
        )
    )  # fmt: skip
    prefix = bool(header.metadata.get("tokenizer.ggml.add_space_prefix", True))
    spaces = normalizers.Replace(" ", _SPACE)
    made.normalizer = (
        normalizers.Sequence([normalizers.Prepend(_SPACE), spaces]) if prefix else spaces
    )
    if gemma:
        made.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefix:
        steps.append(decoders.Strip(content=" ", left=1))
    made.decoder = decoders.Sequence(steps)
    return made


def _merges(
    vocabulary: dict[str, int], tokens: list[str], ranks: list[float]
) -> Iterator[tuple[str, str]]:
    """Yield every way to make a token of two others, as SentencePiece merges: the highest rank
    first, and of one token's ways the one with the longest left part."""
    found = []
    for token, rank in zip(tokens, ranks, strict=True):
        for at in range(1, len(token)):
            left, right = token[:at], token[at:]
            if left in vocabulary and right in vocabulary:
                found.append((-rank, -at, left, right))
    found.sort(key=lambda each: each[:2])
    return ((left, right) for *_, left, right in found)


def _respelled(token: str) -> str:
    """Return a token with SentencePiece's sign for spaces, which files leave out where a token is
    nothing but spaces."""
    return _SPACE * len(token) if token and not token.strip(" ") else token
