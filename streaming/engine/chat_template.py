"""A model's chat template: a program by strangers, run where it can be killed.

transformers' own rendering, with the arguments that `apply_chat_template` would pass to it. All
that reads a stranger's text by patterns happens in that process, too. Imported there without
torch, so it stands outside `local/`.

What a person typed must stay text: parts of it that are, or may become, an added token
("<|im_end|>") are markers while the template runs. The token strings in the result are then the
template's own; they get secret names, and the text comes back.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from streaming.bounded import BoundedPool, Overrun, Unserved, preload
from streaming.engine.base import ChatMessage, EngineError
from streaming.engine.names import pattern_of
from streaming.escaping import bounded, one_line

logger = logging.getLogger("streaming.engine")

_OPEN, _CLOSE = "\ue000", "\ue001"

SECONDS = 5.0
"""A template that takes longer is killed; ordinary ones take milliseconds."""

_MEMORY_BYTES = 768 * 2**20
_EXCERPT_CHARS, _READ_CHARS = 200, 4000
_FREE_CHARS = 100_000
_GROWTH = 4
"""A template may make so many times the characters of its messages out of them, and _FREE_CHARS."""

preload(__name__, "transformers.utils.chat_template_utils")
_pool = BoundedPool(2, seconds=SECONDS, memory_bytes=_MEMORY_BYTES)


@dataclass(frozen=True, slots=True)
class Template:
    """`source` is Jinja; `variables` are what it may use besides the messages.

    `names`: the added tokens' names, and what is written for those that the template wrote.
    `borders`: of what is so written, that at which text may be cut, and its token; what stands
    between two of them is tokenized by itself, whatever stands beyond.
    """

    source: str
    variables: Mapping[str, Any]
    names: Mapping[str, str]
    borders: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Parts:
    """A rendered prompt: text, border, text, ..., text. Texts may be empty."""

    texts: tuple[str, ...]
    borders: tuple[int, ...]


class ChatTemplate:
    """Renders conversations in processes of their own, which all engines of a process share."""

    def __init__(self, template: Template) -> None:
        self._pickled = pickle.dumps(template)

    def render(self, messages: Sequence[ChatMessage]) -> Parts:
        """The prompt, up to where the answer begins or, when the last message is the assistant's
        own, goes on.

        Raises EngineError: `invalid_messages` in the template's own words, `template_overrun` if
        it takes too long or makes too much, `engine_error` if it cannot be run at the moment.
        """
        turns = [(message.role, message.content) for message in messages]
        try:
            return _pool.run(_render, self._pickled, turns)
        except Unserved as error:
            text = f"The model's chat template cannot be run at the moment: {error}"
            raise EngineError(text) from None
        except Overrun:
            text = f"The model's chat template did not end within {SECONDS:g} seconds"
            raise EngineError(f"{text}, or took too much memory.", "template_overrun") from None

    def check(self) -> None:
        """Start the processes, and see that the template ends. Raises EngineError if not."""
        with contextlib.suppress(Overrun):  # a busy machine; the next call finds them started
            _pool.run(_begin)
        try:
            self.render([ChatMessage("user", "Hello")])
        except EngineError as error:
            if error.code != "invalid_messages":
                raise
            logger.warning("%s", error)  # it may want other messages than this one


def secret_of(nonce: str, token: int) -> str:
    """What stands for an added token in a prompt, and in nobody's text."""
    return f"{_OPEN}{nonce}t{token}{_CLOSE}"


def choose(tokenizer: Any) -> str:
    """The template that `apply_chat_template` takes when there are no tools.

    Raises EngineError if the tokenizer has none.
    """
    try:
        source: str = tokenizer.get_chat_template()
    except ValueError as error:
        raise EngineError(f"The model has no chat template to use: {excerpt(str(error))}") from None
    return source


def excerpt(text: str) -> str:
    """Words of a template on one line: few, and all of them visible."""
    return one_line(bounded(" ".join(text[:_READ_CHARS].split()), _EXCERPT_CHARS))


def clean(text: str) -> str:
    """`text` without lone surrogates, which no tokenizer encodes; pairs become characters."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# In the processes:


def _begin() -> None:
    import transformers.utils.chat_template_utils  # noqa: F401


def _render(pickled: bytes, turns: Sequence[tuple[str, str]]) -> Parts:
    return _writer(pickled).write(turns)


@lru_cache(maxsize=4)
def _writer(pickled: bytes) -> _Writer:
    return _Writer(pickle.loads(pickled))


class _Writer:
    def __init__(self, template: Template) -> None:
        self._template = template
        names = template.names
        self._names = pattern_of(list(names))
        self._beginnings = {name[:size] for name in names for size in range(1, len(name))}
        self._endings = {name[size:] for name in names for size in range(1, len(name))}
        self._longest = max(map(len, names), default=1) - 1
        self._secret = re.compile(f"{_OPEN}[0-9a-f]+t[0-9]+{_CLOSE}")

    def write(self, turns: Sequence[tuple[str, str]]) -> Parts:
        # The template can tell what a marker looks like; so it is no other conversation's.
        nonce = secrets.token_hex(8)
        protected: list[str] = []
        texts = [self._protect(clean(content), nonce, protected) for _, content in turns]
        marker = re.compile(f"{_OPEN}{nonce}u([0-9]+){_CLOSE}")

        def unveil(text: str) -> str:
            return marker.sub(lambda match: protected[int(match[1])], text)

        begun = texts.pop() if turns[-1][0] == "assistant" else ""
        conversation = [
            {"role": role, "content": text} for (role, _), text in zip(turns, texts, strict=False)
        ]
        try:
            text = self._rendered(conversation)
        except MemoryError:
            raise
        except Exception as error:
            said = excerpt(unveil(str(error)))
            raise EngineError(
                f"The model's chat template refuses this conversation: {said}", "invalid_messages"
            ) from None
        if len(text) > _FREE_CHARS + _GROWTH * sum(len(content) for _, content in turns):
            message = f"The model's chat template makes {len(text):,} characters of this."
            raise EngineError(message, "template_overrun")
        text = self._names.sub(lambda match: self._template.names[match[0]], text) + begun
        return self._cut(unveil(text))

    def _rendered(self, conversation: list[dict[str, str]]) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        if not conversation:
            raise ValueError("There is no message before the answer.")
        rendered: Any = render_jinja_template(  # its annotation is wrong
            conversations=[conversation],
            chat_template=self._template.source,
            add_generation_prompt=True,
            **self._template.variables,
        )
        text: str = rendered[0][0]
        return text

    def _cut(self, text: str) -> Parts:
        """Secret names of tokens that are no borders stay in the texts."""
        texts: list[str] = []
        borders: list[int] = []
        start = 0
        for match in self._secret.finditer(text):
            token = self._template.borders.get(match[0])
            if token is not None:
                texts.append(text[start : match.start()])
                borders.append(token)
                start = match.end()
        return Parts((*texts, text[start:]), tuple(borders))

    def _protect(self, text: str, nonce: str, protected: list[str]) -> str:
        """`text` with a marker in place of all that is, or at its edges may become, a token."""

        def marker(part: str) -> str:
            protected.append(part)
            return f"{_OPEN}{nonce}u{len(protected) - 1}{_CLOSE}"

        text = self._names.sub(lambda match: marker(match[0]), text)
        # "<|im_end|" at the end plus the template's next character must not make a token either;
        # templates may strip blanks, so the edges are looked at without them
        body = text.strip()
        if not body:
            return text
        left = text[: text.index(body)]
        right = text[len(left) + len(body) :]
        for size in range(min(self._longest, len(body)), 0, -1):
            if body[-size:] in self._beginnings:
                body = body[:-size] + marker(body[-size:])
                break
        for size in range(min(self._longest, len(body)), 0, -1):
            if body[:size] in self._endings:
                body = marker(body[:size]) + body[size:]
                break
        return left + body + right
