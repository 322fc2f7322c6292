"""A model's chat template: a program by strangers, run where it can be killed.

transformers' own rendering, with the arguments that `apply_chat_template` would pass to it. All
that reads a stranger's text by patterns happens in that process, too: `template_trial` finds out
there what the template does with what it is given, and `template_writer` gives it that. They are
imported there without torch, so they stand outside `local/`.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

from streaming.engine.base import ChatMessage, EngineError, Thinking
from streaming.engine.templates.traits import OVERRUN, Template, Traits, Turn, Way
from streaming.engine.templates.trial import learn
from streaming.engine.templates.variables import checked
from streaming.engine.templates.writer import Parts, TemplateWriter
from streaming.system.bounded import BoundedPool, Overrun, Unserved, preload

logger = logging.getLogger("streaming.engine")

P = ParamSpec("P")
T = TypeVar("T")

SECONDS = 5.0
"""A template that takes longer is killed; ordinary ones take milliseconds."""

AUTO = Thinking()
"""As the model itself does."""

_MEMORY_BYTES = 768 * 2**20

preload(__name__, "transformers.utils.chat_template_utils")
_pool = BoundedPool(2, seconds=SECONDS, memory_bytes=_MEMORY_BYTES)


class ChatTemplate:
    """Renders conversations in processes of their own, which all engines of a process share."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._lock = threading.Lock()
        self._known: tuple[Traits, bytes] | None = None
        self._warned = False

    @property
    def traits(self) -> Traits:
        """What the template does, tried once. Raises EngineError as `render`."""
        return self._learned()[0]

    def render(self, messages: Sequence[ChatMessage], thinking: Thinking = AUTO) -> Parts:
        """The prompt, up to where the answer begins or, when the last message is the assistant's
        own, goes on: in its thought, if it has no content yet.

        Raises EngineError: `invalid_messages` in the template's own words, `invalid_params` for
        variables that nobody may set, `template_overrun` if it takes too long or makes too much,
        `engine_error` if it cannot be run at the moment.
        """
        traits, pickled = self._learned()
        way = self._way(traits, thinking, messages)
        own = checked(thinking.template, self._template.variables)
        turns = [Turn(message.role, message.content, message.reasoning) for message in messages]
        return _run(_render, pickled, turns, {**way.variables, **own}, way.instruction)

    def seen(self, messages: Sequence[ChatMessage], thinking: Thinking) -> Sequence[ChatMessage]:
        """The messages without the thoughts that no prompt would show: those before the newest
        question, if the template drops them."""
        last = max((at for at, each in enumerate(messages) if each.role == "user"), default=0)
        if not any(message.reasoning for message in messages[:last]):
            return messages
        if self.traits.keeps or thinking.template:
            return messages
        plain = [ChatMessage(m.role, m.content, m.fields) for m in messages[:last]]
        return [*plain, *messages[last:]]

    def check(self) -> None:
        """Start the processes, and try the template. Raises EngineError if the model cannot be
        served with it."""
        with contextlib.suppress(Overrun):  # a busy machine; the next call finds them started
            _pool.run(_begin)
        traits = self.traits
        if traits.fault:
            raise EngineError(
                f"This model cannot be served: its chat template fails: {traits.fault}. Another "
                "one can be given by CHATSTREAM_CHAT_TEMPLATE, a file.",
                "model_unsupported",
            )
        if not traits.takes_system:
            logger.warning(
                "The model's chat template takes no system message: it is put before the first "
                "message of the user."
            )

    def _learned(self) -> tuple[Traits, bytes]:
        with self._lock:
            if self._known is None:
                traits = _run(_learn, pickle.dumps(self._template))
                bare = replace(self._template, tokens=frozenset())
                self._known = traits, pickle.dumps((bare, traits))
            return self._known

    def _way(self, traits: Traits, thinking: Thinking, messages: Sequence[ChatMessage]) -> Way:
        auto = Way()
        if thinking.effort == "off":
            last = messages[-1] if messages else ChatMessage("user", "")
            if last.role == "assistant" and last.reasoning and not last.content:
                return auto  # it is in the midst of its thought
            if "off" not in traits.ways and traits.thinks and not self._warned:
                self._warned = True
                logger.warning("This model's thinking cannot be switched off; it goes on.")
        return traits.ways.get(thinking.effort, auto)


def _run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return _pool.run(function, *args, **kwargs)
    except Unserved as error:
        text = f"The model's chat template cannot be run at the moment: {error}"
        raise EngineError(text) from None
    except Overrun:
        text = f"The model's chat template did not end within {SECONDS:g} seconds"
        raise EngineError(f"{text}, or took too much memory.", OVERRUN) from None


# In the processes:


def _begin() -> None:
    import transformers.utils.chat_template_utils  # noqa: F401


def _learn(pickled: bytes) -> Traits:
    return learn(pickle.loads(pickled))


def _render(
    pickled: bytes, turns: Sequence[Turn], variables: Mapping[str, Any], instruction: str
) -> Parts:
    return _writer(pickled).write(turns, variables, instruction)


@lru_cache(maxsize=4)
def _writer(pickled: bytes) -> TemplateWriter:
    return TemplateWriter(*pickle.loads(pickled))
