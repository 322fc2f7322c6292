"""Imports a file: read in a bounded process, then written a conversation at a time."""

from __future__ import annotations

import json
import logging
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError

from streaming.pages.importing.bounds import UnreadableFile
from streaming.pages.importing.report import Report
from streaming.record import imports
from streaming.record.drafts import Draft
from streaming.system.bounded import BoundedPool, Overrun, Unserved

logger = logging.getLogger(__name__)

READING_SECONDS = 10.0
MEMORY_BYTES = 2**30
WRITING_SECONDS = 40.0
"""After so many seconds the rest is left for another time, before a proxy gives up."""

_MOST_FILES = 2
"""Files that are read at once."""

_room = threading.BoundedSemaphore(_MOST_FILES)


def import_file(path: str, owner: str, user: User | None) -> Report:
    """Import the conversations in the file at `path` for an owner.

    Each is written whole or not at all, and one that is there already is not written again.
    """
    report = Report()
    with tempfile.TemporaryDirectory(prefix="chatstream-import-") as folder:
        drafts = Path(folder) / "drafts"
        try:
            _read(path, drafts)
        except UnreadableFile as error:
            report.refused = error.reason
            return report
        until = time.monotonic() + WRITING_SECONDS
        for line in _lines(drafts):
            _write(line, owner, user, until, report)
    return report


def _read(path: str, drafts: Path) -> None:
    from streaming.pages.importing import reading  # which no start of a server waits for

    if not _room.acquire(blocking=False):
        raise UnreadableFile("busy")
    # Started for this file, and ended with it: what a large one took is given back.
    pool = BoundedPool(1, seconds=READING_SECONDS, memory_bytes=MEMORY_BYTES)
    try:
        pool.run(reading.read, path, str(drafts))
    except Unserved as error:
        raise UnreadableFile("busy") from error
    except Overrun as error:
        raise UnreadableFile("too_slow") from error
    finally:
        pool.close()
        _room.release()


def _lines(drafts: Path) -> Iterator[dict[str, Any]]:
    with drafts.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _write(
    line: dict[str, Any], owner: str, user: User | None, until: float, report: Report
) -> None:
    if "skipped" in line:
        report.skip(line["skipped"], line["title"])
        return
    draft = Draft.from_json(line["draft"])
    if time.monotonic() > until:
        report.skip("later", draft.title)
        return
    try:
        key = imports.insert(owner, user, draft)
    except imports.TooManyConversations:
        report.skip("full", draft.title)
        return
    except (DatabaseError, ValueError):
        logger.exception("A conversation could not be imported.")
        report.skip("failed", draft.title)
        return
    if key is None:
        report.skip("known", draft.title)
        return
    report.imported += 1
    report.first = report.first or str(key)
    report.replaced.update(draft.replaced)
    if not imports.has_room_for_instructions(draft):
        report.instructions += 1
