"""An output item while it is written, and a text that grows by deltas."""

from __future__ import annotations

from streaming.protocol.items import (
    FunctionCallItem,
    Item,
    MessageItem,
    Part,
    ReasoningItem,
    Refusal,
)


class GrowingText:
    """A text that grows by deltas; `length` counts its Unicode code points."""

    def __init__(self, text: str = "") -> None:
        self._parts = [text] if text else []
        self.length = len(text)

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def append(self, delta: str) -> None:
        """Add a delta at the end."""
        self._parts.append(delta)
        self.length += len(delta)


class _GrowingPart:
    """One part of a content, and its text."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self.text = GrowingText(text_of(part))

    @property
    def part(self) -> Part:
        name = "refusal" if isinstance(self._part, Refusal) else "text"
        return self._part.model_copy(update={name: self.text.text})


class GrowingItem:
    """An output item, from its first event to its last."""

    def __init__(self, item: Item) -> None:
        self.is_done = False
        self.done_parts: set[int] = set()
        """Indices of the parts that are whole."""
        self._begin(item)

    def _begin(self, item: Item) -> None:
        self._item = item
        content = item.content if isinstance(item, MessageItem | ReasoningItem) else []
        self._parts = {index: _GrowingPart(part) for index, part in enumerate(content)}
        self._arguments = GrowingText(item.arguments if isinstance(item, FunctionCallItem) else "")

    @property
    def item(self) -> Item:
        """The item as it is now."""
        if isinstance(self._item, FunctionCallItem):
            return self._item.model_copy(update={"arguments": self._arguments.text})
        if isinstance(self._item, MessageItem | ReasoningItem):
            parts = [self._parts[index].part for index in sorted(self._parts)]
            return self._item.model_copy(update={"content": parts})
        return self._item

    def end(self, item: Item) -> None:
        """Take the item as it is at its end."""
        self._begin(item)
        self.is_done = True

    def part(self, index: int) -> Part | None:
        """Return a part of the content as it is now, None if it has not begun."""
        return self._parts[index].part if index in self._parts else None

    def begin_part(self, index: int, part: Part) -> None:
        """Begin a part of the content."""
        self._parts[index] = _GrowingPart(part)

    def end_part(self, index: int, part: Part) -> None:
        """Take a part of the content as it is at its end."""
        self.begin_part(index, part)
        self.done_parts.add(index)

    def add(self, index: int, delta: str) -> None:
        """Add to the text of a part."""
        if part := self._parts.get(index):
            part.text.append(delta)

    def set_text(self, index: int, text: str) -> None:
        """Take the text of a part as it is at its end."""
        if part := self._parts.get(index):
            part.text = GrowingText(text)

    def add_arguments(self, delta: str) -> None:
        """Add to the arguments of a call."""
        self._arguments.append(delta)

    def set_arguments(self, arguments: str) -> None:
        """Take the arguments of a call as they are at its end."""
        self._arguments = GrowingText(arguments)


def text_of(part: Part) -> str:
    """Return the text of a part: what it says, refuses or thinks; empty for an image or a file."""
    if isinstance(part, Refusal):
        return part.refusal
    return str(getattr(part, "text", ""))
