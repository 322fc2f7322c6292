"""The delimiters, as text, by which a model sets apart what it thinks from what it says.

The files of `response_templates/` are in the format of transformers' `response_template`. What that
has no key for is under "chatstream":

- `when`: strings; a model is of this kind if its chat template mentions all of them, or its
  tokenizer has all of them as tokens
- `closing`: what it writes to end a thought and begin its answer
- `ends`: what ends its turn
- `header`: for models whose messages have headers that name their channel

A model's own `response_template` is read, too, where its delimiters are literal: a stranger's
regular expression is never run beside others' answers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from streaming.system.escaping import bounded, one_line

logger = logging.getLogger("streaming.engine")

_FOLDER = Path(__file__).parent / "response_templates"

_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Fields that transformers' own server takes for a thought."""

_MOST_LITERALS, _MOST_CHARS = 32, 200


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """Literal delimiters of thoughts and texts.

    - `implicit`: what stands outside of all delimiters is text; else it is nothing.
    - `header_opens` begin a header, which ends with `header_close` or where a thought or text is
      opened. Its first word makes the message a thought if it is one of `thoughts`, and the last
      message of the turn if it is one of `last`.
    - `when`, `closing`, `ends`: as in the module's docstring.
    """

    name: str
    thought_opens: tuple[str, ...]
    thought_closes: tuple[str, ...]
    text_opens: tuple[str, ...] = ()
    text_closes: tuple[str, ...] = ()
    when: tuple[str, ...] = ()
    closing: str = ""
    ends: tuple[str, ...] = ()
    header_opens: tuple[str, ...] = ()
    header_close: str = ""
    thoughts: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    implicit: bool = True


def choose_format(source: str, names: Collection[str], own: Any) -> ResponseFormat | None:
    """Return the format of a model; None if it is of no known kind.

    `source` is its chat template, `names` its added tokens, `own` its `response_template` (None: it
    has none).
    """
    if own is not None:
        try:
            return format_of(own)
        except ValueError as error:
            reason = one_line(bounded(str(error), _MOST_CHARS))
            logger.warning("The model's response_template is not used: %s", reason)
    for known in known_formats():
        if all(literal in source for literal in known.when):
            return known
    for known in known_formats():
        if all(literal in names for literal in known.when):
            return known
    return None


def mentions(response_format: ResponseFormat, source: str) -> bool:
    """Return whether a chat template mentions thoughts in this format."""
    return all(each in source for each in response_format.when)


@cache
def known_formats() -> tuple[ResponseFormat, ...]:
    """Return the formats of `response_templates/`, those with the most conditions first."""
    found = [_ours(path) for path in sorted(_FOLDER.glob("*.json"))]
    return tuple(sorted(found, key=lambda known: -len(known.when)))


def _ours(path: Path) -> ResponseFormat:
    spec = json.loads(path.read_text(encoding="utf-8"))
    own, fields = spec["chatstream"], spec["fields"]
    header = own.get("header", {})
    return ResponseFormat(
        path.stem,
        _literals(fields["reasoning_content"], "open"),
        _literals(fields["reasoning_content"], "close"),
        _literals(fields["content"], "open"),
        _literals(fields["content"], "close"),
        when=tuple(own["when"]),
        closing=own["closing"],
        ends=tuple(own.get("ends", ())),
        header_opens=tuple(header.get("open", ())),
        header_close=header.get("close", ""),
        thoughts=tuple(header.get("thoughts", ())),
        last=tuple(header.get("last", ())),
    )


def format_of(spec: Any) -> ResponseFormat:
    """Read a model's own `response_template`. Raises ValueError if it is broken, says nothing of
    thoughts, or finds them by regular expressions."""
    from transformers.utils.chat_parsing.response_templates import load_response_template

    if not isinstance(spec, Mapping) or not isinstance(spec.get("fields"), Mapping):
        raise ValueError("it has no fields")
    fields: Mapping[str, Any] = spec["fields"]
    if not all(isinstance(field, Mapping) for field in fields.values()):
        raise ValueError("one of its fields is no object")
    thought = next((name for name in _THOUGHT_FIELDS if name in fields), None)
    if thought is None:
        raise ValueError("it says nothing of thoughts")
    # Calls of tools stay text.
    wanted = {name: dict(fields[name]) for name in (thought, "content") if name in fields}
    implicit = any("open" not in field and "open_pattern" not in field for field in fields.values())
    if "open_pattern" not in wanted.get("content", {}) and implicit:
        wanted.get("content", {}).pop("close_pattern", None)  # the turn's end, which we know
    for name, field in wanted.items():
        if "open_pattern" in field or "close_pattern" in field:
            raise ValueError(f"it finds {name} by a regular expression")
        _check_literals(field)
    load_response_template({"start_anchor": "-", "fields": wanted})  # says what is wrong with it
    if "open" not in wanted[thought]:
        raise ValueError("thoughts have no beginning in it")
    text = wanted.get("content", {})
    opens, closes = _literals(text, "open"), _literals(text, "close")
    thought_closes = _literals(wanted[thought], "close")
    return ResponseFormat(
        "its own",
        _literals(wanted[thought], "open"),
        thought_closes,
        opens,
        closes if opens else (),
        closing=thought_closes[0] + (opens[0] if opens and not implicit else "")
        if thought_closes
        else "",
        ends=() if opens else tuple(each for each in closes if each not in thought_closes),
        implicit=implicit,
    )


def _check_literals(field: Mapping[str, Any]) -> None:
    for key in ("open", "close"):
        literals = _literals(field, key)
        if len(literals) > _MOST_LITERALS or any(len(each) > _MOST_CHARS for each in literals):
            raise ValueError(f"it has more, or longer, delimiters than {_MOST_LITERALS} of "
                             f"{_MOST_CHARS} characters")  # fmt: skip


def _literals(field: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found: str | Sequence[str] = field.get(key, ())
    if isinstance(found, str):
        return (found,)
    if not isinstance(found, list | tuple) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"{key!r} is neither a text nor a list of texts")
    return tuple(found)
