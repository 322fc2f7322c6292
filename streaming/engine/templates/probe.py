"""A chat template, tried on a few words to see what it makes of them.

Runs where templates run, in a process that can be killed; see `chat_template`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streaming.engine.base import EngineError
from streaming.engine.templates.template import OVERRUN, Template, rendered

# Words that no template writes of its own.
QUESTION, ANSWER, THOUGHT, RULE = "zqaskedzq", "zqsaidzq", "zqthoughtzq", "zqtoldzq"
OTHER = "zqotherzq"

SYSTEM = {"role": "system", "content": RULE}

_MOST_CHARS = 100_000  # of what a template makes of a few words


def user(content: str = QUESTION) -> dict[str, Any]:
    """Return a user's message."""
    return {"role": "user", "content": content}


def assistant(content: Any = ANSWER, **fields: Any) -> dict[str, Any]:
    """Return an assistant's message."""
    return {"role": "assistant", "content": content, **fields}


class Probe:
    """Renders small conversations. `lists`: contents are lists of parts, as in Traits."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.lists = False

    @property
    def source(self) -> str:
        """Return the template's source."""
        return self.template.source

    def render(
        self, *conversation: Mapping[str, Any], answers: bool = True, **variables: Any
    ) -> str:
        """Render a conversation. Raises whatever the template raises, and EngineError
        (`template_overrun`) if it makes more than 100,000 characters of it."""
        text = rendered(self.template, conversation, variables, answers=answers, lists=self.lists)
        if len(text) > _MOST_CHARS:
            message = f"The model's chat template makes {len(text):,} characters of a few words."
            raise EngineError(message, OVERRUN)
        return text

    def render_or_empty(
        self, *conversation: Mapping[str, Any], answers: bool = True, **variables: Any
    ) -> str:
        """Render a conversation; return an empty text if the template refuses it. Raises
        EngineError as `render`."""
        try:
            return self.render(*conversation, answers=answers, **variables)
        except (MemoryError, EngineError):
            raise
        except Exception:
            return ""
