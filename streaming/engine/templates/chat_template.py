"""Renders conversations by a model's chat template: a program by strangers, run where it can be
killed.

transformers' own rendering, with the arguments that `apply_chat_template` would pass to it.
Everything that applies patterns to a stranger's text happens in that process, too: `trial` finds
out there what the template does, and `writer` writes prompts with it. The process imports them
without torch, so they stand outside `local/`.
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
from streaming.engine.templates.template import OVERRUN, Template
from streaming.engine.templates.traits import EffortSwitch, Traits
from streaming.engine.templates.trial import learn
from streaming.engine.templates.variables import checked
from streaming.engine.templates.writer import RenderedPrompt, TemplateWriter
from streaming.system.bounded import BoundedPool, Overrun, Unserved, preload

logger = logging.getLogger("streaming.engine")

P = ParamSpec("P")
T = TypeVar("T")

SECONDS = 5.0
"""A template that takes longer is killed; ordinary ones take milliseconds."""

AUTO = Thinking()
"""The model's own way of thinking."""

_MEMORY_BYTES = 768 * 2**20

preload(__name__, "transformers.utils.chat_template_utils")
_pool = BoundedPool(2, seconds=SECONDS, memory_bytes=_MEMORY_BYTES)


class ChatTemplate:
    """Renders conversations in two processes, which all engines of this process share.

    Safe to use from any thread.
    """

    def __init__(self, template: Template) -> None:
        self._template = template
        self._lock = threading.Lock()
        self._known: tuple[Traits, bytes] | None = None
        self._warned = False

    @property
    def traits(self) -> Traits:
        """Return what the template does; it is tried once. Raises EngineError as `render`."""
        return self._learned()[0]

    def render(self, messages: Sequence[ChatMessage], thinking: Thinking = AUTO) -> RenderedPrompt:
        """Render the prompt up to where the answer begins or, if the last message is the
        assistant's, goes on: in its thought, if it has no content yet.

        Raises EngineError: `invalid_messages` with the template's own words, `invalid_params` for
        variables that a request may not set, `template_overrun` if the template takes too long or
        makes too much, `engine_error` if it cannot be run at the moment.
        """
        traits, pickled = self._learned()
        switch = self._switch(traits, thinking, messages)
        own = checked(thinking.template, self._template.variables)
        plain = [ChatMessage(m.role, m.content, reasoning=m.reasoning) for m in messages]
        return _run(_render, pickled, plain, {**switch.variables, **own}, switch.instruction)

    def seen(self, messages: Sequence[ChatMessage], thinking: Thinking) -> Sequence[ChatMessage]:
        """Return the messages without the thoughts that no prompt would show: those before the
        newest question, if the template drops them."""
        last = max((at for at, each in enumerate(messages) if each.role == "user"), default=0)
        if not any(message.reasoning for message in messages[:last]):
            return messages
        if self.traits.keeps or thinking.template:
            return messages
        plain = [ChatMessage(m.role, m.content, m.fields) for m in messages[:last]]
        return [*plain, *messages[last:]]

    def check(self) -> None:
        """Start the processes and try the template. Raises EngineError (`model_unsupported`) if the
        template fails, and as `render`."""
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

    def _switch(
        self, traits: Traits, thinking: Thinking, messages: Sequence[ChatMessage]
    ) -> EffortSwitch:
        """Return how the wanted effort is set; as `auto` where it cannot be."""
        auto = EffortSwitch()
        if thinking.effort == "off":
            last = messages[-1] if messages else ChatMessage("user", "")
            if last.role == "assistant" and last.reasoning and not last.content:
                return auto  # the answer goes on in the midst of its thought
            if "off" not in traits.efforts and traits.thinks and not self._warned:
                self._warned = True
                logger.warning("This model's thinking cannot be switched off; it goes on.")
        return traits.efforts.get(thinking.effort, auto)


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
    pickled: bytes, messages: Sequence[ChatMessage], variables: Mapping[str, Any], instruction: str
) -> RenderedPrompt:
    return _writer(pickled).write(messages, variables, instruction)


@lru_cache(maxsize=4)
def _writer(pickled: bytes) -> TemplateWriter:
    return TemplateWriter(*pickle.loads(pickled))
