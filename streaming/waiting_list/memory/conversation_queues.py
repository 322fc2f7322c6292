"""The conversations of the waiting list in memory: all but the first response of each are held."""

from __future__ import annotations

from streaming.waiting_list.interface import Entry


class ConversationQueues:
    """Response ids by conversation, in order of arrival: the first may run, the others are held."""

    def __init__(self) -> None:
        self._queues: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def join(self, entry: Entry) -> bool:
        """Add an entry; return whether it is the first. Without a conversation it always is."""
        if not entry.conversation_id:
            return True
        queue = self._queues.setdefault(entry.conversation_id, [])
        queue.append(entry.response_id)
        return len(queue) == 1

    def leave(self, entry: Entry) -> str | None:
        """Remove an entry; return the id that has become the first, None if none has."""
        queue = self._queues.get(entry.conversation_id)
        if queue is None:
            return None
        was_first = queue[0] == entry.response_id
        queue.remove(entry.response_id)
        if not queue:
            del self._queues[entry.conversation_id]
        return queue[0] if queue and was_first else None
