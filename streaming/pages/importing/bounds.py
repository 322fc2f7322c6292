"""How much of a file is read, and why one, or a conversation in it, is not."""

from __future__ import annotations

MEGABYTE = 2**20
FORM_BYTES = 2**16
"""Bytes of a request beside its file."""

MOST_JSON_BYTES = 2**28
"""Bytes of JSON that are read of one file, unpacked."""
MOST_ENTRIES = 20_000
"""Entries of a ZIP archive."""
MOST_CONVERSATIONS = 20_000
"""Conversations of one file."""
MOST_CONVERSATION_CHARS = 2**24
"""Characters of one conversation, as JSON and as what is made of it."""
MOST_MESSAGE_CHARS = 1_000_000
"""Characters of one message."""
MOST_MESSAGES = 20_000
"""Messages of one conversation."""
TITLE_CHARS = 120
FOLDER_CHARS = 60


class UnreadableFile(Exception):
    """Nothing of a file is imported; `reason` is one of `report.FILE_REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unfit(Exception):
    """A conversation is not imported; `reason` is one of `report.REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
