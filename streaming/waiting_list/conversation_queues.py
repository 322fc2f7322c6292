"""The conversations of the waiting list in memory: one open response in each, the rest held."""

from __future__ import annotations

from streaming.waiting_list.base import Entry


class ConversationQueues:
    """Per conversation, the ids in order of arrival: the open one first, then the held."""

    def __init__(self) -> None:
        self._conversations: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._conversations)

    def join(self, entry: Entry) -> bool:
        """Is it the open one? An entry without a conversation always is."""
        if not entry.conversation_id:
            return True
        lane = self._conversations.setdefault(entry.conversation_id, [])
        lane.append(entry.response_id)
        return len(lane) == 1

    def leave(self, entry: Entry) -> str | None:
        """The held one that is the open one now, if there is such."""
        lane = self._conversations.get(entry.conversation_id)
        if lane is None:
            return None
        was_first = lane[0] == entry.response_id
        lane.remove(entry.response_id)
        if not lane:
            del self._conversations[entry.conversation_id]
        return lane[0] if lane and was_first else None
