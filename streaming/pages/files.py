"""Files that the page's user attaches: uploaded one by one, downloaded again, taken back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import content_disposition_header
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from streaming import conf
from streaming.files import images
from streaming.files.errors import FileRefused
from streaming.files.keeping import MEGABYTE, are_taken, keep
from streaming.identity.owners import address_of_request, must_sign_in, owner_of_request
from streaming.models import StoredFile
from streaming.record import file_collection, files, stored_bytes
from streaming.record.attachments import FILE_PREFIX
from streaming.record.tasks import Requester
from streaming.waiting_list.serving import model_details

FORM_BYTES = 64 * 1024
"""Bytes of a form around a file."""

_DAYS = 24 * 60 * 60


def mark_of(owner: str) -> str:
    """Return what tells owners apart in a browser, and says nothing of them."""
    return salted_hmac("streaming.drafts", owner).hexdigest()[:12]


@never_cache
@require_POST
def upload(request: HttpRequest) -> JsonResponse:
    """Keep a file (201) and say what it is, or why it is not taken (200): `message`, in the
    reader's language. 503: another time it may be.

    `X-Owner`: for whom the page was made (`mark_of`); for somebody else nothing is kept.
    """
    if must_sign_in(request):
        message = gettext("You are signed out. Sign in to attach files.")
        return JsonResponse({"code": "login_required", "message": message}, status=401)
    owner = owner_of_request(request)
    if not constant_time_compare(request.headers.get("X-Owner", ""), mark_of(owner)):
        message = gettext("You are signed in or out since. Reload the page.")
        return JsonResponse({"code": "session_changed", "message": message}, status=409)
    user = request.user if request.user.is_authenticated else None
    details = async_to_sync(model_details)(get_channel_layer())
    try:
        name, data = _sent(request, details)
        requester = Requester(owner, user, address_of_request(request))
        file = async_to_sync(keep)(requester, name, data)
    except FileRefused as error:
        status = 503 if error.is_temporary else 200
        return JsonResponse({"code": error.code, "message": error.translated()}, status=status)
    context = int(details.get("context_tokens") or 0)
    return JsonResponse({**described(file), "context_tokens": context}, status=201)


def described(file: StoredFile) -> dict[str, Any]:
    """Return what the page is told of a file."""
    return {
        "file_id": f"{FILE_PREFIX}{file.pk.hex}",
        "name": file.name,
        "kind": file.kind,
        "size": file.size,
        "tokens": file.tokens,
        "url": reverse("file", args=[file.pk]),
    }


def _sent(request: HttpRequest, details: dict[str, Any]) -> tuple[str, bytes]:
    """Return the name and the bytes of the file that a request brings. Raises FileRefused."""
    most = conf.get().max_file_mb
    if not are_taken():
        raise FileRefused("files_off")
    # Of a body that is longer, the server keeps the beginning only.
    if int(request.META.get("CONTENT_LENGTH") or 0) > most * MEGABYTE + FORM_BYTES:
        raise FileRefused("file_too_large", most=most)
    file = request.FILES.get("file")
    if not isinstance(file, UploadedFile):
        raise FileRefused("file_empty")
    if (file.size or 0) > most * MEGABYTE:
        raise FileRefused("file_too_large", most=most)
    data = file.read()
    if images.type_of(data) and details and not details.get("takes_images"):
        raise FileRefused("no_images")
    return file.name or "", data


@require_safe
def download(request: HttpRequest, file_id: UUID) -> HttpResponse:
    """A file of one's own, as it was given; anybody else's does not exist. `view`: an image is
    shown, not saved."""
    file = get_object_or_404(StoredFile, pk=file_id, owner=owner_of_request(request))
    try:
        data = stored_bytes.read(file.place)
    except FileNotFoundError:
        raise Http404("The bytes of the file are gone.") from None
    is_shown = "view" in request.GET and file.kind == StoredFile.Kind.IMAGE
    response = HttpResponse(data, content_type=file.content_type)
    if file.content_type == "text/plain":
        response["Content-Type"] = "application/octet-stream"  # in whichever encoding it is
    response["Content-Disposition"] = content_disposition_header(not is_shown, file.name) or ""
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = f"private, max-age={_DAYS}, immutable" if is_shown else "no-store"
    return response


@never_cache
@require_POST
def remove(request: HttpRequest, file_id: UUID) -> HttpResponse:
    """Delete a file of one's own that was not sent; one that a message names stays."""
    owner = owner_of_request(request)
    if not files.own(owner).filter(pk=file_id).exists():
        raise Http404("There is no such file.")
    file_collection.delete_unnamed(owner, [file_id])
    return HttpResponse(status=204)


def page_config() -> dict[str, Any] | None:
    """Return what the page needs to attach files, None where nobody may."""
    if not are_taken():
        return None
    settings_ = conf.get()
    return {
        "url": reverse("files"),
        "most": settings_.max_files,
        "most_bytes": settings_.max_file_mb * MEGABYTE,
        "most_mb": settings_.max_file_mb,
    }
