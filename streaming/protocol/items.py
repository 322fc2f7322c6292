"""The items that a conversation is made of, and the parts of their content, as Open Responses
(2026-04-24) describes them.

These are the items that the server says. What clients send is looser: `request_items`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from streaming.protocol.base import WireModel

ItemStatus = Literal["in_progress", "completed", "incomplete"]


def absent() -> Any:
    """Return the default of a field that is left out where it would be null."""
    return Field(None, exclude_if=lambda value: value is None)


class Said(WireModel):
    """A JSON object of the server's. A client ignores fields that it does not know: a later server
    may send more."""

    model_config = ConfigDict(extra="ignore")


# --- parts of a content ---


class InputText(Said):
    """Text of a user, or of a tool."""

    type: Literal["input_text"] = "input_text"
    text: str


class InputImage(Said):
    """An image, by its address, or by the id of a file that is kept here (`file_id`)."""

    type: Literal["input_image"] = "input_image"
    image_url: str | None
    detail: Literal["low", "high", "auto"] = "auto"
    file_id: str | None = absent()


class InputFile(Said):
    """A file; the model reads the text that is in it. `file_id`: where its bytes are kept here."""

    type: Literal["input_file"] = "input_file"
    filename: str | None = absent()
    file_url: str | None = absent()
    file_id: str | None = absent()


class OutputText(Said):
    """Text of an answer."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[dict[str, Any]] = Field(default_factory=list)
    logprobs: list[dict[str, Any]] = Field(default_factory=list)


class Refusal(Said):
    """Why a model does not answer, in its words."""

    type: Literal["refusal"] = "refusal"
    refusal: str


class ReasoningText(Said):
    """What a model thought."""

    type: Literal["reasoning_text"] = "reasoning_text"
    text: str


class SummaryText(Said):
    """What a model thought, in short."""

    type: Literal["summary_text"] = "summary_text"
    text: str


Part = Annotated[
    InputText | InputImage | InputFile | OutputText | Refusal | ReasoningText | SummaryText,
    Field(discriminator="type"),
]


# --- items ---


class MessageItem(Said):
    """One turn of a user, the assistant, or the system. `phase`: whether the assistant's is an
    answer or a remark on the way to one."""

    type: Literal["message"] = "message"
    id: str
    status: ItemStatus
    role: Literal["user", "assistant", "system", "developer"]
    content: list[Part]
    phase: Literal["commentary", "final_answer"] | None = absent()


class ReasoningItem(Said):
    """What the model thought before an item. `summary` is always empty: nobody makes one."""

    type: Literal["reasoning"] = "reasoning"
    id: str
    status: ItemStatus | None = absent()
    summary: list[SummaryText] = Field(default_factory=list)
    content: list[ReasoningText] = Field(default_factory=list)
    encrypted_content: str | None = absent()


class FunctionCallItem(Said):
    """The model asks its client to call a function; `arguments` is JSON, as the model wrote it."""

    type: Literal["function_call"] = "function_call"
    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus


class FunctionCallOutputItem(Said):
    """What a function returned."""

    type: Literal["function_call_output"] = "function_call_output"
    id: str
    call_id: str
    output: str | list[Part]
    status: ItemStatus


class CompactionItem(Said):
    """Stands for the items before it: what of them the model goes on with."""

    type: Literal["compaction"] = "compaction"
    id: str
    encrypted_content: str
    created_by: str | None = absent()


Item = Annotated[
    MessageItem | ReasoningItem | FunctionCallItem | FunctionCallOutputItem | CompactionItem,
    Field(discriminator="type"),
]


def item_models() -> tuple[type[BaseModel], ...]:
    """Return the models of all items."""
    return (MessageItem, ReasoningItem, FunctionCallItem, FunctionCallOutputItem, CompactionItem)
