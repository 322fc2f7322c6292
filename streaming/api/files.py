"""`/v1/files`: files that a program keeps here, to be named by their ids in what it asks."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, cast
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from ninja import Query, Router, Schema
from pydantic import Field

from streaming import conf
from streaming.api.answers import ErrorBody
from streaming.api.errors import ApiError
from streaming.api.replies import private, requester_of
from streaming.files.errors import FileRefused
from streaming.files.keeping import MEGABYTE, keep
from streaming.models import StoredFile
from streaming.protocol.ids import FILE, key_of, wire_id
from streaming.record import files, stored_bytes
from streaming.record.database import in_database
from streaming.record.tasks import Requester

router = Router(tags=["files"])

PURPOSES = ("user_data", "assistants", "vision")

_ERRORS: Any = (400, 401, 404, 413, 500, 503)
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"enum": list(PURPOSES)},
                    },
                }
            }
        },
    }
}


class FileObject(Schema):
    """A file that is kept. `chatstream`: its kind, and about how many tokens its text has."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    chatstream: dict[str, Any]


class FileList(Schema):
    """Files, in the order that was asked for."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    has_more: bool
    first_id: str | None
    last_id: str | None


class DeletedFile(Schema):
    """A file that is kept no more."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class ListQuery(Schema):
    """Which files: at most `limit`, those after the file `after`."""

    purpose: str | None = None
    limit: int = Field(100, ge=1, le=1000)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


@router.post(
    "",
    operation_id="uploadFile",
    url_name="create_file",
    summary="Keep a file",
    response={200: FileObject, _ERRORS: ErrorBody},
    openapi_extra=_FORM,
)
async def upload_file(request: HttpRequest) -> FileObject:
    """A form with `file` and `purpose`. The file is read at once: one that a model could not read
    is refused. It is kept until it is deleted."""
    requester = _requester(request)
    name, data, purpose = await asyncio.to_thread(_form, request)
    try:
        return _object(await keep(requester, name, data, purpose=purpose))
    except FileRefused as error:
        raise refused(error, "file") from None


@router.get(
    "",
    operation_id="listFiles",
    summary="The files that are kept",
    response={200: FileList, _ERRORS: ErrorBody},
)
async def list_files(request: HttpRequest, query: Query[ListQuery]) -> FileList:
    """Those of the key's account, the newest first; not those that came with a message."""
    found = await in_database(_listed)(_requester(request).owner, query)
    data = [_object(file) for file in found[: query.limit]]
    ends = (data[0].id, data[-1].id) if data else (None, None)
    has_more = len(found) > query.limit
    return FileList(data=data, has_more=has_more, first_id=ends[0], last_id=ends[1])


@router.get(
    "/{file_id}",
    operation_id="retrieveFile",
    summary="One file",
    response={200: FileObject, _ERRORS: ErrorBody},
)
async def retrieve_file(request: HttpRequest, file_id: str) -> FileObject:
    """What a file is."""
    return _object(await _own(request, file_id))


@router.get(
    "/{file_id}/content",
    operation_id="downloadFile",
    summary="The bytes of a file",
    response={200: None, _ERRORS: ErrorBody},
)
async def download_file(request: HttpRequest, file_id: str) -> HttpResponse:
    """A file's bytes, as they were given."""
    file = await _own(request, file_id)
    try:
        data = await asyncio.to_thread(stored_bytes.read, file.place)
    except FileNotFoundError:
        raise _not_found(file_id) from None
    response = HttpResponse(data, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, file.name) or ""
    response["X-Content-Type-Options"] = "nosniff"
    return private(response)


@router.delete(
    "/{file_id}",
    operation_id="deleteFile",
    summary="Delete a file",
    response={200: DeletedFile, _ERRORS: ErrorBody},
)
async def delete_file(request: HttpRequest, file_id: str) -> DeletedFile:
    """Keep a file no more. What was read of it stays in the conversations that named it."""
    file = await _own(request, file_id)
    await in_database(_delete)(file)
    return DeletedFile(id=wire_id(FILE, file.pk))


def refused(error: FileRefused, param: str | None = None) -> ApiError:
    """Return the answer to a file that is not taken."""
    name = error.param or param
    if error.is_temporary:
        return ApiError(503, error.code, error.message, name, headers={"Retry-After": "5"})
    status = {"file_too_large": 413, "file_not_found": 404}.get(error.code, 400)
    return ApiError(status, error.code, error.message, name)


def _requester(request: HttpRequest) -> Requester:
    """Return who asks. An address is shared by people: only accounts keep files."""
    requester = requester_of(request)
    if requester.user is None:
        raise ApiError(401, "invalid_api_key", "Files are kept for accounts: send an API key.")
    return requester


def _form(request: HttpRequest) -> tuple[str, bytes, str]:
    """Return a form's file, by name and bytes, and its purpose. In a thread: it may be large."""
    most = conf.get().max_file_mb
    bound = most * MEGABYTE + 64 * 1024
    if int(request.META.get("CONTENT_LENGTH") or 0) > bound:
        raise refused(FileRefused("file_too_large", "file", most=most))
    file, purpose = request.FILES.get("file"), request.POST.get("purpose", "")
    if file is None:
        text = "Send a form (`multipart/form-data`) with `file` and `purpose`."
        raise ApiError(400, "missing_required_parameter", text, "file")
    if purpose not in PURPOSES:
        names = ", ".join(f"`{each}`" for each in PURPOSES)
        raise ApiError(400, "invalid_value", f"`purpose` is one of {names}.", "purpose")
    return file.name or "", file.read(), purpose


def _listed(owner: str, query: ListQuery) -> list[StoredFile]:
    kept = files.own(owner).exclude(purpose="")
    if query.purpose:
        kept = kept.filter(purpose=query.purpose)
    rows = list(kept.order_by("created_at", "pk").defer("text"))
    if query.order == "desc":
        rows.reverse()
    if query.after is not None:
        key = key_of(query.after, FILE)
        at = next((at for at, file in enumerate(rows) if file.pk == key), None)
        if at is None:
            raise ApiError(400, "invalid_value", "`after` is no file of yours.", "after")
        rows = rows[at + 1 :]
    return rows[: query.limit + 1]


async def _own(request: HttpRequest, file_id: str) -> StoredFile:
    """Return a file of the key's account. Raises ApiError 404."""
    owner, key = _requester(request).owner, key_of(file_id, FILE)
    found = key and await in_database(_find)(owner, key)
    if not found:
        raise _not_found(file_id)
    return cast(StoredFile, found)


def _find(owner: str, key: UUID) -> StoredFile | None:
    return files.own(owner).filter(pk=key).defer("text").first()


def _delete(file: StoredFile) -> None:
    files.own(file.owner).filter(pk=file.pk).delete()


def _not_found(file_id: str) -> ApiError:
    return ApiError(404, "file_not_found", f"No such File object: {file_id[:100]}", "file_id")


def _object(file: StoredFile) -> FileObject:
    return FileObject(
        id=wire_id(FILE, file.pk),
        bytes=file.size,
        created_at=int(file.created_at.timestamp()),
        filename=file.name,
        purpose=file.purpose or "user_data",
        chatstream={"kind": str(file.kind), "tokens": file.tokens},
    )
