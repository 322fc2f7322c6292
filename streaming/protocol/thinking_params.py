"""The parameters by which a request asks a model to think, and which of them contradict."""

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
"""Variables by which chat templates turn thinking on and off."""


class Reasoning(BaseModel):
    """The effort, as the Responses API has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effort: ReasoningEffort | None = None


Variables = Annotated[dict[str, Any], AfterValidator(plain)]


class ThinkingParams(BaseModel):
    """How much a model is to think. A model that cannot think ignores it."""

    reasoning_effort: ReasoningEffort | None = Field(
        None,
        description="How much the model thinks before it answers; `none`: not at all. `minimal` "
        "means `low`, `xhigh` and `max` mean `high`; `default` leaves it to the model.",
    )
    reasoning: Reasoning | None = Field(
        None, description="The same as `reasoning_effort`, as the Responses API has it."
    )
    enable_thinking: bool | None = Field(
        None, strict=True, description="Whether the model thinks; `true` is a medium effort."
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
        """Return the efforts that are asked for, by the name of the parameter."""
        words = {
            "reasoning_effort": self.reasoning_effort,
            "reasoning": self.reasoning and self.reasoning.effort,
        }
        return {name: word for name, word in words.items() if word}

    def switches(self) -> dict[str, bool]:
        """Return what turns thinking on or off, by the name of the parameter; template variables
        are not among them."""
        return {} if self.enable_thinking is None else {"enable_thinking": self.enable_thinking}

    def budget(self) -> int | None:
        """Return the maximum tokens of the thought, None if the request sets none."""
        return None


Budget = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
"""Maximum tokens of a thought."""


class LooseReasoning(Reasoning):
    """The same with what OpenRouter and others have besides."""

    model_config = ConfigDict(extra="ignore")

    enabled: bool | None = Field(None, strict=True)
    max_tokens: Budget | None = None


class ThinkingSwitch(BaseModel):
    """The switch of Anthropic's, DeepSeek's, Doubao's and GLM's APIs."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["enabled", "disabled", "adaptive", "auto"]
    budget_tokens: Budget | None = None


class LooseThinkingParams(ThinkingParams):
    """The same, under all the names that programs use."""

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
        description="Its `type` says whether the model thinks (`adaptive`, `auto`: as it likes), "
        "its `budget_tokens` how many tokens at most, within the server's own limit.",
    )

    def efforts(self) -> dict[str, ReasoningEffort]:
        """Return the efforts that are asked for, `think` among them."""
        words = super().efforts()
        return {**words, "think": self.think} if isinstance(self.think, str) else words

    def switches(self) -> dict[str, bool]:
        """Return what turns thinking on or off, `reasoning`, `think` and `thinking` among them."""
        switches = super().switches()
        if self.reasoning and self.reasoning.enabled is not None:
            switches["reasoning"] = self.reasoning.enabled
        if isinstance(self.think, bool):
            switches["think"] = self.think
        if self.thinking and self.thinking.type in ("enabled", "disabled"):
            switches["thinking"] = self.thinking.type == "enabled"
        return switches

    def budget(self) -> int | None:
        """Return the smaller of the budgets of `thinking` and `reasoning`, None without any."""
        budgets = (
            self.thinking.budget_tokens if self.thinking else None,
            self.reasoning.max_tokens if self.reasoning else None,
        )
        return min((budget for budget in budgets if budget), default=None)


def _contradict(param: str, text: str) -> None:
    raise PydanticCustomError("contradiction", text, {"param": param})


def switch_of(params: ThinkingParams) -> bool | None:
    """Return whether the parameters turn thinking on or off, under any name; None: neither."""
    for on in params.switches().values():
        return on
    variables = params.chat_template_kwargs or {}
    return next((variables[name] for name in _SWITCHES if _is_switch(variables, name)), None)


def _is_switch(variables: dict[str, Any], name: str) -> bool:
    return isinstance(variables.get(name), bool)
