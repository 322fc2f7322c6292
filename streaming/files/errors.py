"""Why a file is not taken: a code, and a sentence for people."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext


def gettext_noop(text: str) -> str:
    """Return a text that is translated where it is said. Django's own reads all settings, which the
    processes that read files need not have."""
    return text


REASONS: dict[str, str] = {
    "files_off": gettext_noop("Files cannot be attached here."),
    "file_empty": gettext_noop("The file is empty."),
    "file_too_large": gettext_noop("The file is larger than %(most)s MB."),
    "too_many_files": gettext_noop("There are more files than a message can have (%(most)s)."),
    "storage_full": gettext_noop(
        "There is no room for it: your files may have %(most)s MB together. Delete conversations "
        "with files first."
    ),
    "upload_limit": gettext_noop("Too many files were uploaded from here today."),
    "unknown_type": gettext_noop(
        "This is no file that can be read here: text, code, CSV, JSON, PDF, Word documents (.docx) "
        "and images can be."
    ),
    "archive": gettext_noop("An archive is not opened. Attach the files that are in it."),
    "old_office": gettext_noop(
        "This is an old or protected Office document. Save it as .docx, without a password, or as "
        "PDF."
    ),
    "other_office": gettext_noop("Of Office documents only .docx can be read. Save it as PDF."),
    "encrypted": gettext_noop("The file is protected by a password."),
    "no_text": gettext_noop(
        "There is no text in the file. If it was scanned, its pages are pictures."
    ),
    "damaged": gettext_noop("The file is damaged and cannot be read."),
    "too_many_pages": gettext_noop("The file has more than %(most)s pages."),
    "too_much_text": gettext_noop("The text in the file is longer than %(most)s characters."),
    "too_hard": gettext_noop("It takes too long, or too much memory, to read the file."),
    "image_too_large": gettext_noop("The image has more than %(most)s megapixels."),
    "no_images": gettext_noop("This model reads text only, no images."),
    "over_context": gettext_noop(
        "The files have about %(tokens)s tokens, and this model reads at most %(most)s at once."
    ),
    "files_busy": gettext_noop("Too many files are being read. Try again in a moment."),
    "storage_away": gettext_noop("The file cannot be stored at the moment. Try again later."),
    "file_not_found": gettext_noop("There is no such file. It may have been deleted."),
    "file_url": gettext_noop(
        "A file is not fetched from an address. Send its content, or the id of an uploaded file."
    ),
    "invalid_part": gettext_noop("A part of the content is not as it should be: %(why)s."),
}
"""Code and sentence, with the names of its values."""

TEMPORARY = ("files_busy", "storage_away")
"""Codes of what may go well another time."""


class FileRefused(Exception):
    """A file, or a part of a content, is not taken.

    `code` is a key of REASONS, `message` its sentence in English, and `param` names the part of
    the request.
    """

    def __init__(self, code: str, param: str | None = None, **values: Any) -> None:
        self.code = code
        self.param = param
        self.values = values
        self.message = _filled(REASONS[code], values)
        super().__init__(self.message)

    @property
    def is_temporary(self) -> bool:
        """Whether it may go well another time."""
        return self.code in TEMPORARY

    def translated(self) -> str:
        """Return the sentence in the reader's language."""
        return _filled(gettext(REASONS[self.code]), self.values)


def _filled(sentence: str, values: dict[str, Any]) -> str:
    shown = {
        name: f"{value:,}" if isinstance(value, int) else value for name, value in values.items()
    }
    return sentence % shown if shown else sentence


class Unreadable(Exception):
    """What is in a file cannot be read; raised in the process that reads it. `args` are a code of
    REASONS and its `most`, or 0."""

    def __init__(self, code: str, most: int = 0) -> None:
        super().__init__(code, most)
        self.code = code
        self.most = most

    def refusal(self, param: str | None = None) -> FileRefused:
        """Return what is told of it."""
        values = {"most": self.most} if self.most else {}
        return FileRefused(self.code, param, **values)
