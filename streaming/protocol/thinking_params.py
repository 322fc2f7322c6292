"""What a request says of thoughts: the parameters, and what of them is refused. No Django."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from streaming.engine.base import Effort
from streaming.engine.templates.variables import MOST_CHARS, MOST_VARIABLES, plain

ReasoningEffort = Literal[
    "none", "minimal", "low", "medium", "high", "xhigh", "max", "default"
]  # OpenAI's words, and two that some servers have
EFFORTS: dict[str, Effort] = {
    "none": "off",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
    "default": "auto",
}

_SWITCHES = ("enable_thinking", "thinking")
"""Variables by which templates turn thoughts on and off."""


class Reasoning(BaseModel):
    """As the Responses API says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effort: ReasoningEffort | None = None


Variables = Annotated[dict[str, Any], AfterValidator(plain)]


class ThinkingParams(BaseModel):
    """What a request says of thoughts. A model that does not think takes no notice."""

    reasoning_effort: ReasoningEffort | None = Field(
        None,
        description="How much a model that can think does so before it answers; `none`: not at "
        "all. `minimal` is taken as `low`, `xhigh` and `max` as `high`, `default` as its own way.",
    )
    reasoning: Reasoning | None = Field(
        None, description="The same as `reasoning_effort`, as the Responses API has it."
    )
    enable_thinking: bool | None = Field(
        None, strict=True, description="Whether it thinks; `true` is a medium effort."
    )
    chat_template_kwargs: Variables | None = Field(
        None,
        description="Variables for the model's chat template, such as `enable_thinking`: up to "
        f"{MOST_VARIABLES}, {MOST_CHARS:,} characters of JSON in all.",
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> ThinkingParams:
        efforts = self.efforts()
        for name, word in efforts.items():
            if word != next(iter(efforts.values())):
                first = next(iter(efforts))
                _contradict(name, f"it says another effort than `{first}`")
        words = set(efforts.values())
        switches = self.switches()
        said = next(iter(switches), "")
        for name, on in switches.items():
            if on != switches[said]:
                _contradict(name, f"`{said}` says the opposite")
        variables = self.chat_template_kwargs or {}
        switch = switch_of(self)
        if {variables.get(name) for name in _SWITCHES if _is_switch(variables, name)} - {switch}:
            if not said:
                _contradict("chat_template_kwargs", "it says one thing and the opposite")
            _contradict(said, "`chat_template_kwargs` says the opposite")
        known = {EFFORTS[word] for word in words}
        inner = variables.get("reasoning_effort")
        if isinstance(inner, str) and known and known != {EFFORTS.get(inner)}:
            _contradict("chat_template_kwargs", "it says another effort than is asked for")
        known -= {"auto"}
        if switch is not None and known and (known == {"off"}) == switch:
            _contradict(
                said or "chat_template_kwargs", "the effort that is asked for says the opposite"
            )
        return self

    def efforts(self) -> dict[str, ReasoningEffort]:
        """The words for how much is to be thought, by the name of what says so."""
        words = {
            "reasoning_effort": self.reasoning_effort,
            "reasoning": self.reasoning and self.reasoning.effort,
        }
        return {name: word for name, word in words.items() if word}

    def switches(self) -> dict[str, bool]:
        """What turns thoughts on or off, by name, template variables apart."""
        return {} if self.enable_thinking is None else {"enable_thinking": self.enable_thinking}

    def budget(self) -> int | None:
        """Most tokens of the thought, if it is said."""
        return None


Budget = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
"""Most tokens of a thought."""


class LooseReasoning(Reasoning):
    """As OpenRouter and others say it besides."""

    model_config = ConfigDict(extra="ignore")

    enabled: bool | None = Field(None, strict=True)
    max_tokens: Budget | None = None


class ThinkingSwitch(BaseModel):
    """As Anthropic's, DeepSeek's, Doubao's and GLM's programs say it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["enabled", "disabled", "adaptive", "auto"]
    budget_tokens: Budget | None = None


class LooseThinkingParams(ThinkingParams):
    """The same by all the names that programs have for it."""

    reasoning: LooseReasoning | None = Field(
        None,
        description="Its `effort` is another name of `reasoning_effort`, its `enabled` of "
        "`enable_thinking`, its `max_tokens` of the `budget_tokens` of `thinking`.",
    )
    think: Annotated[bool, Field(strict=True)] | ReasoningEffort | None = Field(
        None, description="`true` or `false`: `enable_thinking`; a word: `reasoning_effort`."
    )
    thinking: ThinkingSwitch | None = Field(
        None,
        description="Its `type` says whether it thinks (`adaptive`, `auto`: in its own way), "
        "its `budget_tokens` how many tokens at most, within the server's own bound.",
    )

    def efforts(self) -> dict[str, ReasoningEffort]:
        words = super().efforts()
        return {**words, "think": self.think} if isinstance(self.think, str) else words

    def switches(self) -> dict[str, bool]:
        switches = super().switches()
        if self.reasoning and self.reasoning.enabled is not None:
            switches["reasoning"] = self.reasoning.enabled
        if isinstance(self.think, bool):
            switches["think"] = self.think
        if self.thinking and self.thinking.type in ("enabled", "disabled"):
            switches["thinking"] = self.thinking.type == "enabled"
        return switches

    def budget(self) -> int | None:
        budgets = (
            self.thinking.budget_tokens if self.thinking else None,
            self.reasoning.max_tokens if self.reasoning else None,
        )
        return min((budget for budget in budgets if budget), default=None)


def _contradict(param: str, text: str) -> None:
    raise PydanticCustomError("contradiction", text, {"param": param})


def switch_of(params: ThinkingParams) -> bool | None:
    """Whether it turns thoughts on or off, by whatever name; None: neither."""
    for on in params.switches().values():
        return on
    variables = params.chat_template_kwargs or {}
    return next((variables[name] for name in _SWITCHES if _is_switch(variables, name)), None)


def _is_switch(variables: dict[str, Any], name: str) -> bool:
    return isinstance(variables.get(name), bool)
