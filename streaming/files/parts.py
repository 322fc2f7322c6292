"""The parts of a user's message, as any door brings them: checked, stored, and made into what the
record keeps and a model reads.

Parts are named as in Open Responses (`input_text`, `input_image`, `input_file`) or as in Chat
Completions (`text`, `image_url`, `file`). Nothing is ever fetched from an address: an image's goes
to a server of models as it is.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

from streaming import conf
from streaming.files.errors import FileRefused
from streaming.files.keeping import keep
from streaming.models import StoredFile
from streaming.record import attachments, files
from streaming.record.attachments import SEPARATOR
from streaming.record.database import in_database
from streaming.record.tasks import Requester

DETAILS = ("auto", "low", "high")

_ESTIMATE_IS_OFF_BY = 2
"""Times that an estimate of tokens may be too high, or too low."""
_MOST_URL_CHARS = 8_000
_MOST_PARTS = 1_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the parts of a message.

    - `typed`: what somebody wrote, by which lengths and titles go.
    - `content`: the text that a model reads, that of files included (`Message.content`).
    - `parts`: what `Message.parts` is to have; None for a text alone.
    - `tokens`: about how many tokens the files have.
    """

    typed: str
    content: str
    parts: list[dict[str, Any]] | None = None
    tokens: int = 0

    @property
    def file_ids(self) -> set[UUID]:
        """Return the ids of the files that are named."""
        return attachments.file_ids(self.parts)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A part as it came: a text, a file by its id or its bytes, or an image's address."""

    param: str
    text: str = ""
    file_id: str = ""
    name: object = None
    data: str | None = None  # a data URL, or Base64
    url: str = ""
    is_image: bool = False
    detail: str = "auto"


async def take_parts(
    requester: Requester,
    parts: Sequence[Mapping[str, Any]],
    details: Mapping[str, Any],
    *,
    param: str = "input",
) -> Taken:
    """Return what a message consists of, its new files stored.

    `details` are the model's (`waiting_list.serving.model_details`), empty if it is not known;
    `param` names the list in the request. Raises FileRefused, which names the part.
    """
    if len(parts) > _MOST_PARTS:
        raise FileRefused("invalid_part", param, why="there are too many")
    asked = [_asked(part, f"{param}[{at}]") for at, part in enumerate(parts)]
    if all(not _is_file(each) for each in asked):
        text = SEPARATOR.join(each.text for each in asked if each.text)
        return Taken(text, text)
    _require(asked, details, param)
    kept = await _kept(requester, asked)
    found: list[dict[str, Any]] = []
    texts: list[str] = []
    count = at = 0
    for each in asked:
        file = kept.get(each.param)
        if file is not None and file.kind == StoredFile.Kind.IMAGE:
            _require_images(details, each.param)
            found.append(attachments.part_of(file, detail=each.detail))
        elif file is not None:
            if each.is_image:
                raise FileRefused("invalid_part", each.param, why="the file is no image")
            text = attachments.framed(file.name, file.text)
            found.append(attachments.part_of(file, at=at, chars=len(text)))
            texts.append(text)
            at += len(text) + len(SEPARATOR)
            count += file.tokens
        elif each.url:
            found.append({"type": "input_image", "image_url": each.url, "detail": each.detail})
        elif each.text:
            texts.append(each.text)
            at += len(each.text) + len(SEPARATOR)
            found.append({"type": "input_text", "text": each.text})
    _require_context(count, details, param)
    typed = SEPARATOR.join(each.text for each in asked if each.text)
    return Taken(typed, SEPARATOR.join(texts), found, count)


def _is_file(asked: _Asked) -> bool:
    return bool(asked.file_id or asked.url or asked.data is not None)


# --- what was asked ---


def _asked(part: Mapping[str, Any], param: str) -> _Asked:
    """Return a part in our words. Raises FileRefused."""
    kind = part.get("type")
    match kind:
        case "input_text" | "text" | "output_text":
            return _Asked(param, text=_string(part, "text", param))
        case "input_image":
            detail = part.get("detail") or "auto"
            return _image(part.get("image_url"), part.get("file_id"), detail, param)
        case "image_url":
            value = part.get("image_url")
            if isinstance(value, Mapping):
                return _image(value.get("url"), None, value.get("detail") or "auto", param)
            return _image(value, None, "auto", param)
        case "input_file":
            return _file(part, param)
        case "file":
            inner = part.get("file")
            if not isinstance(inner, Mapping):
                raise FileRefused("invalid_part", param, why="`file` is an object")
            return _file(inner, f"{param}.file")
    names = "`input_text`, `input_image` or `input_file`"
    raise FileRefused("invalid_part", param, why=f"its `type` is one of {names}")


def _image(url: Any, file_id: Any, detail: Any, param: str) -> _Asked:
    if detail not in DETAILS:
        detail = "auto"  # what is new of OpenAI's is no reason to refuse an image
    if isinstance(file_id, str) and file_id and not url:
        return _Asked(param, file_id=file_id, is_image=True, detail=detail)
    if not isinstance(url, str) or not url:
        raise FileRefused("invalid_part", param, why="`image_url` or `file_id` is missing")
    if url[:5].lower() == "data:":
        return _Asked(param, name="image", data=url, is_image=True, detail=detail)
    is_address = url.lower().startswith(("https://", "http://")) and url.isprintable()
    if not is_address or len(url) > _MOST_URL_CHARS or " " in url:
        raise FileRefused("invalid_part", param, why="`image_url` is a data URL or an address")
    return _Asked(param, url=url, is_image=True, detail=detail)


def _file(part: Mapping[str, Any], param: str) -> _Asked:
    if part.get("file_url"):
        raise FileRefused("file_url", f"{param}.file_url")
    name = part.get("filename")
    if isinstance(file_id := part.get("file_id"), str) and file_id:
        return _Asked(param, file_id=file_id, name=name)
    if isinstance(data := part.get("file_data"), str):
        return _Asked(param, name=name, data=data)
    raise FileRefused("invalid_part", param, why="`file_id` or `file_data` is missing")


def _string(part: Mapping[str, Any], name: str, param: str) -> str:
    value = part.get(name)
    if not isinstance(value, str):
        raise FileRefused("invalid_part", f"{param}.{name}", why=f"`{name}` is a text")
    if "\x00" in value:
        raise FileRefused("invalid_part", f"{param}.{name}", why="it has the character U+0000")
    return value


# --- what is allowed ---


def _require(asked: Sequence[_Asked], details: Mapping[str, Any], param: str) -> None:
    most = conf.get().max_files
    if sum(map(_is_file, asked)) > most:
        raise FileRefused("too_many_files", param, most=most)
    for each in asked:
        if each.is_image:
            _require_images(details, each.param)


def _require_images(details: Mapping[str, Any], param: str) -> None:
    """Raise FileRefused if the model takes no images. One that nobody knows yet may take them; its
    engine says it otherwise."""
    if details and not details.get("takes_images"):
        raise FileRefused("no_images", param)


def _require_context(count: int, details: Mapping[str, Any], param: str) -> None:
    """Raise FileRefused for files that cannot fit the model's context, however they are counted;
    where it is close, the engine counts."""
    context = int(details.get("context_tokens") or 0)
    if context and count > _ESTIMATE_IS_OFF_BY * context:
        raise FileRefused("over_context", param, tokens=count, most=context)


# --- files ---


async def _kept(requester: Requester, asked: Sequence[_Asked]) -> dict[str, StoredFile]:
    """Return the files of the parts that are one, by their `param`."""
    keys = {each.param: attachments.key_of(each.file_id) for each in asked if each.file_id}
    own: dict[UUID, StoredFile] = {}
    if keys:
        given = {key for key in keys.values() if key is not None}
        own = await in_database(files.use)(requester.owner, given)
    found: dict[str, StoredFile] = {}
    for each in asked:
        if each.file_id:
            key = keys[each.param]
            if key is None or key not in own:
                raise FileRefused("file_not_found", each.param)
            found[each.param] = own[key]
        elif each.data is not None:
            data = await asyncio.to_thread(_bytes_of, each.data, each.param)
            try:
                found[each.param] = await keep(requester, each.name, data)
            except FileRefused as error:
                raise FileRefused(error.code, each.param, **error.values) from None
    return found


def _bytes_of(text: str, param: str) -> bytes:
    """Return the bytes of a data URL, or of Base64 alone. Raises FileRefused."""
    is_base64, encoded = True, text
    if text[:5].lower() == "data:":
        head, comma, encoded = text.partition(",")
        if not comma:
            raise FileRefused("invalid_part", param, why="the data URL has no comma")
        is_base64 = head.lower().endswith(";base64")
    if not is_base64:
        return unquote_to_bytes(encoded)
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise FileRefused("invalid_part", param, why="it is no Base64") from None
