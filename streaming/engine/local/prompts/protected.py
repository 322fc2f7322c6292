"""Tells which added tokens mean something, and makes a tokenizer in which no text can name them."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer

from streaming.engine.base import EngineError
from streaming.engine.templates.response_format import known_formats
from streaming.engine.templates.thought_marks import MARKS

_ROLES = ("user", "assistant", "system", "developer", "tool", "model")


def control_text(tokenizer: Any, source: str) -> str:
    """Return all text that names tokens which mean something: the template's source, the marks of
    thoughts, and the publisher's `response_template`."""
    marks = [part for each in MARKS for part in (each.open, each.close)]
    for known in known_formats():
        marks += [*known.thought_opens, *known.thought_closes, *known.text_opens]
        marks += [*known.text_closes, *known.header_opens, *known.ends]
    declared = getattr(tokenizer, "chat_control_tokens", None) or ()
    response = getattr(tokenizer, "response_template", None) or ""
    read = response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)
    return "\0".join((source, *marks, *declared, read))


def is_text(name: str, control: str) -> bool:
    """Return whether an added token that is not special is nothing but text.

    That is a run of blanks, a word, or a name that is not in the control text, neither as a whole
    nor as what stands around the name of a role.
    """
    if all(char.isalnum() or char.isspace() for char in name):
        return True
    around = [name.partition(role)[::2] for role in _ROLES if role in name]
    return name not in control and not any(
        before in control and after in control for before, after in around
    )


def rename(
    tokenizer: Any, secrets: dict[int, str], names: dict[str, int]
) -> tuple[Tokenizer, dict[int, int]]:
    """Return a copy of the tokenizer whose added tokens have their secret names, and the original
    ids by those of the copy that differ. Raises EngineError if a token cannot be renamed."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    secret = {name: secrets[token] for name, token in names.items()}
    # truncation and padding are per call elsewhere; a prompt must never be cut silently
    state["truncation"] = state["padding"] = state["post_processor"] = None
    vocabulary = state["model"].get("vocab")
    merged = {part for merge in state["model"].get("merges", ()) for part in _merge(merge)}
    for entry in state["added_tokens"]:
        if entry["content"] in secret and entry["content"] not in merged:
            entry_name = entry["content"]
            if isinstance(vocabulary, dict) and entry_name in vocabulary:
                vocabulary[secret[entry_name]] = vocabulary.pop(entry_name)
            elif isinstance(vocabulary, list):
                for piece in vocabulary:
                    if piece[0] == entry_name:
                        piece[0] = secret[entry_name]
    for entry in state["added_tokens"]:
        entry["content"] = secret.get(entry["content"], entry["content"])
    unknown = secret.get(state["model"].get("unk_token"))
    if isinstance(vocabulary, dict) and unknown in vocabulary:
        state["model"]["unk_token"] = unknown
    renamed = Tokenizer.from_str(json.dumps(state))
    ids: dict[int, int] = {}
    for name, token in names.items():
        moved = renamed.token_to_id(secret[name])
        if moved is None:
            raise EngineError(f"The tokenizer's token {name} cannot be protected.")
        if moved != token:
            ids[moved] = token
    return renamed, ids


def _merge(merge: Any) -> tuple[str, ...]:
    """Return both parts of a BPE merge rule and what they make."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right, left + right
