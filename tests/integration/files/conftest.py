"""Files that tests attach, and a storage of the test's own."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from channels.db import database_sync_to_async

from streaming.files import extraction, reading
from streaming.models import StoredFile
from streaming.record.tasks import Requester

TEXT_ONLY: dict[str, Any] = {"model": "m", "context_tokens": 4096, "takes_images": False}
SEES: dict[str, Any] = {**TEXT_ONLY, "takes_images": True}


def png(width: int = 2, height: int = 2) -> bytes:
    """A PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\x00" + b"\x80\x20\x40" * min(width, 64)) * min(height, 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def url_of(data: bytes, type_: str = "image/png") -> str:
    """A data URL."""
    return f"data:{type_};base64,{base64.b64encode(data).decode()}"


def places(folder: Path) -> list[Path]:
    """The files in a storage."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def storage(settings: Any, tmp_path: Path) -> Path:
    """A folder of the test's own for stored files."""
    folder = tmp_path / "files"
    modes = {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
    backend = "django.core.files.storage.FileSystemStorage"
    mine = {"BACKEND": backend, "OPTIONS": {"location": str(folder), **modes}}
    settings.STORAGES = {**settings.STORAGES, "chatstream": mine}
    return folder


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: what is read is tested elsewhere."""

    async def read(data: bytes, name: str, most_chars: int) -> reading.Reading:
        return reading.read(data, name, most_chars)

    monkeypatch.setattr(extraction, "_in_process", read)


@pytest.fixture
def ann() -> Requester:
    return Requester("visitor:ann", None, "")


@database_sync_to_async
def rows() -> list[StoredFile]:
    return list(StoredFile.objects.order_by("created_at"))


Rows = Callable[[], Any]
