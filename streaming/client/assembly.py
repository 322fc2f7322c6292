"""Assembles one answer's items, text and reasoning from numbered events. Knows no connection."""

from __future__ import annotations

from streaming.client.growing import GrowingItem, GrowingText
from streaming.client.missing import missing_events
from streaming.protocol.items import Item
from streaming.protocol.response_events import (
    ENDS,
    ContentPartAdded,
    ContentPartDone,
    FunctionCallArgumentsDelta,
    FunctionCallArgumentsDone,
    LaterEvent,
    Numbered,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
    ReasoningTextDelta,
    ReasoningTextDone,
    RefusalDelta,
    RefusalDone,
    ResponseInProgress,
)

Unread = LaterEvent
"""An event of which only the number matters."""


class Gap(Exception):
    """Events are missing: those with numbers greater than `starting_after` must be requested."""

    def __init__(self, starting_after: int) -> None:
        super().__init__(starting_after)
        self.starting_after = starting_after


class Assembly:
    """What all events up to number `sequence`, the last one taken, say together."""

    def __init__(self) -> None:
        self.sequence = 0
        self._void()

    @property
    def text(self) -> str:
        """The text of all items up to event `sequence`."""
        return self._text.text

    @property
    def reasoning(self) -> str:
        """The reasoning of all items up to event `sequence`."""
        return self._reasoning.text

    @property
    def items(self) -> list[Item]:
        """The items up to event `sequence`, in their order; those of the end are whole."""
        if self._whole is not None:
            return list(self._whole)
        return [self._items[index].item for index in sorted(self._items)]

    def take(self, event: Numbered | Unread) -> list[Numbered]:
        """Take an event and return the events for the reader: none if it was taken before.

        `ResponseInProgress` discards what came before it. Before the last event comes whatever
        was missing, since it has the whole answer. Raises Gap.
        """
        if event.sequence_number <= self.sequence:
            return []
        news: list[Numbered] = []
        if isinstance(event, ResponseInProgress):
            self._void()
            news = [event]
        elif isinstance(event, ENDS):
            news = [*self._complete(event), event]
        else:
            if event.sequence_number > self.sequence + 1:
                raise Gap(self.sequence)
            if not isinstance(event, LaterEvent):
                self._add(event)
                news = [event]
        self.sequence = event.sequence_number
        return news

    def forget(self) -> None:
        """Discard everything: the events are about to be replayed from the first."""
        self.sequence = 0
        self._void()

    def _void(self) -> None:
        self._text, self._reasoning = GrowingText(), GrowingText()
        self._items: dict[int, GrowingItem] = {}
        self._whole: list[Item] | None = None

    def _add(self, event: Numbered) -> None:
        """Add what an event says. Raises Gap if its text does not stand where ours ends."""
        if isinstance(event, OutputTextDelta | ReasoningTextDelta):
            all_of_it = self._text if isinstance(event, OutputTextDelta) else self._reasoning
            if event.chatstream.offset != all_of_it.length:
                raise Gap(0)
            all_of_it.append(event.delta)
        if isinstance(event, OutputItemAdded):
            self._items[event.output_index] = GrowingItem(event.item)
            return
        index = getattr(event, "output_index", None)
        item = None if index is None else self._items.get(index)
        if item is None:
            return  # it belongs to no item, or to one of a kind that is not known here
        match event:
            case OutputItemDone():
                item.end(event.item)
            case ContentPartAdded():
                item.begin_part(event.content_index, event.part)
            case ContentPartDone():
                item.end_part(event.content_index, event.part)
            case OutputTextDelta() | ReasoningTextDelta() | RefusalDelta():
                item.add(event.content_index, event.delta)
            case OutputTextDone() | ReasoningTextDone():
                item.set_text(event.content_index, event.text)
            case RefusalDone():
                item.set_text(event.content_index, event.refusal)
            case FunctionCallArgumentsDelta():
                item.add_arguments(event.delta)
            case FunctionCallArgumentsDone():
                item.set_arguments(event.arguments)

    def _complete(self, end: ENDS) -> list[Numbered]:
        """Return the events that are missing before the end.

        Of an answer that nobody read for long, the server has nothing but the end.
        """
        news = missing_events(self._items, end, (self._text.length, self._reasoning.length))
        for event in news:
            if isinstance(event, ResponseInProgress):
                self._void()
            else:
                self._add(event)
        self._whole = list(end.response.output)
        return news
