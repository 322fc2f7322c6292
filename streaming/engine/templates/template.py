"""A chat template, and rendering it: transformers' own, in a process that can be killed.

Used where templates run; see `chat_template`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streaming.system.escaping import bounded, one_line

OVERRUN = "template_overrun"
"""Code of the EngineError for a template that takes too long or makes too much."""

_EXCERPT_CHARS, _READ_CHARS = 200, 4000


@dataclass(frozen=True, slots=True)
class Template:
    """A model's chat template and its tokenizer's added tokens.

    - `source`: Jinja.
    - `variables`: what it may use besides the messages, such as `bos_token`.
    - `names`: the added tokens' names, each with what is written for a token that the template
      itself wrote (its secret name).
    - `borders`: of the written names, those at which the prompt may be cut, with their token ids:
      the text between two of them is tokenized independently of the rest.
    - `tokens`: the names of all added tokens.
    """

    source: str
    variables: Mapping[str, Any]
    names: Mapping[str, str]
    borders: Mapping[str, int]
    tokens: frozenset[str] = frozenset()


def rendered(
    template: Template,
    conversation: Sequence[Mapping[str, Any]],
    variables: Mapping[str, Any],
    *,
    answers: bool = True,
    lists: bool = False,
) -> str:
    """Render a conversation.

    `answers` is transformers' `add_generation_prompt`; `lists`: contents are lists of parts, as in
    Traits. Raises whatever the template raises.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    made: Any = render_jinja_template(  # its annotation is wrong
        conversations=[[_listed(message) if lists else dict(message) for message in conversation]],
        chat_template=template.source,
        add_generation_prompt=answers,
        **{**template.variables, **variables},
    )
    text: str = made[0][0]
    return text


def excerpt(text: str) -> str:
    """Return the beginning of a template's words on one line of at most 200 visible characters."""
    return one_line(bounded(" ".join(text[:_READ_CHARS].split()), _EXCERPT_CHARS))


def _listed(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    return {**message, "content": content}
