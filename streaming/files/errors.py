"""Why a file is not taken: a code, and a sentence for people."""

from __future__ import annotations

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

REASONS: dict[str, str | Promise] = {
    "files_off": _("Files cannot be attached here."),
    "file_empty": _("The file is empty."),
    "file_too_large": _("The file is larger than %(most)s MB."),
    "too_many_files": _("There are more files than a message can have (%(most)s)."),
    "storage_full": _(
        "There is no room for it: your files may have %(most)s MB together. Delete conversations "
        "with files first."
    ),
    "upload_limit": _("Too many files were uploaded from here today."),
    "unknown_type": _(
        "This is no file that can be read here: text, code, CSV, JSON, PDF, Word documents (.docx) "
        "and images can be."
    ),
    "archive": _("An archive is not opened. Attach the files that are in it."),
    "old_office": _(
        "This is an old or protected Office document. Save it as .docx, without a password, or as "
        "PDF."
    ),
    "other_office": _("Of Office documents only .docx can be read. Save it as PDF."),
    "encrypted": _("The file is protected by a password."),
    "no_text": _("There is no text in the file. If it was scanned, its pages are pictures."),
    "damaged": _("The file is damaged and cannot be read."),
    "too_many_pages": _("The file has more than %(most)s pages."),
    "too_much_text": _("The text in the file is longer than %(most)s characters."),
    "too_hard": _("It takes too long, or too much memory, to read the file."),
    "image_too_large": _("The image has more than %(most)s megapixels."),
    "no_images": _("This model reads text only, no images."),
    "over_context": _(
        "The files have about %(tokens)s tokens, and this model reads at most %(most)s at once."
    ),
    "files_busy": _("Too many files are being read. Try again in a moment."),
    "storage_away": _("The file cannot be stored at the moment. Try again later."),
    "file_not_found": _("There is no such file. It may have been deleted."),
    "file_url": _(
        "A file is not fetched from an address. Send its content, or the id of an uploaded file."
    ),
    "invalid_part": _("A part of the content is not as it should be: %(why)s."),
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
        with override(None):  # as it is written here
            self.message = self.translated()
        super().__init__(self.message)

    @property
    def is_temporary(self) -> bool:
        """Whether it may go well another time."""
        return self.code in TEMPORARY

    def translated(self) -> str:
        """Return the sentence in the reader's language."""
        return _filled(str(REASONS[self.code]), self.values)


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
