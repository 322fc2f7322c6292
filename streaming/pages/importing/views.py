"""The page on which a file of conversations is given, and what has become of it is said."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from streaming import conf
from streaming.identity.owners import address_of_request, must_sign_in, owner_of_request
from streaming.pages.importing.bounds import FORM_BYTES, MEGABYTE
from streaming.pages.importing.report import Report
from streaming.pages.importing.writing import import_file
from streaming.record import allowance

_FILES_A_DAY = 8
"""So many files of the largest size an owner may import in a day, and an address."""
_DAY = 24 * 60 * 60


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def import_(request: HttpRequest) -> HttpResponse:
    """Show the form, or import the file that came with it. 404 where nobody may import."""
    if not conf.get().max_import_mb:
        raise Http404("Importing is switched off.")
    if must_sign_in(request):
        return redirect_to_login(request.get_full_path())
    report = _import(request) if request.method == "POST" else None
    context = {"report": report, "max_mb": conf.get().max_import_mb}
    status = 400 if report and report.refused else 200
    return render(request, "streaming/importing/import.html", context, status=status)


def _import(request: HttpRequest) -> Report:
    file = request.FILES.get("file")
    most = conf.get().max_import_mb
    # Of a body that is longer, the server keeps the beginning only.
    if int(request.META.get("CONTENT_LENGTH") or 0) > most * MEGABYTE + FORM_BYTES:
        return Report(refused="file_too_large")
    if not isinstance(file, UploadedFile) or not file.size:
        return Report(refused="nothing" if file else "no_file")
    if file.size > most * MEGABYTE:
        return Report(refused="file_too_large")
    owner = owner_of_request(request)
    units = file.size // MEGABYTE + 1
    for who in (owner, address_of_request(request)):
        bound = _FILES_A_DAY * most
        if not allowance.take("import", who, units=units, most=min(bound, 32_000), seconds=_DAY):
            return Report(refused="used_up")
    user = request.user if request.user.is_authenticated else None
    with _on_disk(file) as path:
        return import_file(path, owner, user)


@contextmanager
def _on_disk(file: UploadedFile[Any]) -> Iterator[str]:
    """Give a small file, which Django keeps in memory, a place that another process can read."""
    if hasattr(file, "temporary_file_path"):
        yield file.temporary_file_path()
        return
    handle, path = tempfile.mkstemp(prefix="chatstream-import-")
    try:
        with os.fdopen(handle, "wb") as copy:
            for chunk in file.chunks():
                copy.write(chunk)
        yield path
    finally:
        os.unlink(path)
