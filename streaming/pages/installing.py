"""What lets the page be installed as an app: its manifest, and a page for when there is no network.

The service worker keeps that page and its styles, and nothing else: no conversation is ever stored
by it. Its script is made here, since it names files by their hashes: other files, another worker.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils import translation
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from streaming import conf

_STYLES = (
    "shared/tokens.css",
    "shared/elements.css",
    "shared/buttons.css",
    "accounts/accounts.css",
)
_PNG = "image/png"
_ICONS = (
    ("app/icon-192.png", "192x192", _PNG, "any"),
    ("app/icon-512.png", "512x512", _PNG, "any"),
    ("app/maskable-512.png", "512x512", _PNG, "maskable"),
    ("shared/icon.svg", "any", "image/svg+xml", "any"),
)
_HOUR = 60 * 60
_LIGHT = "#faf9f6"
"""The page's background, `--bg`; what opens before a style is loaded has no other."""


def context() -> dict[str, Any]:
    """Return what every page needs: the addresses of manifest and worker in its language."""
    language = translation.get_language() or settings.LANGUAGE_CODE
    worker = f"{reverse('service_worker')}?{urlencode({'language': language})}"
    return {
        "manifest_url": reverse("manifest", args=[language]),
        "worker_url": worker if conf.get().offline_page else "",
    }


@require_safe
def manifest(request: HttpRequest, language: str) -> HttpResponse:
    """Return the web app manifest in a language."""
    _require(language)
    home = reverse("chat")
    with translation.override(language):
        body = {
            "id": home,
            "name": "ChatStream",
            "short_name": "ChatStream",
            "description": _("Chat with a model, with your place in the queue in sight."),
            "lang": language,
            "dir": "rtl" if translation.get_language_bidi() else "ltr",
            "start_url": home,
            "scope": home,
            "display": "standalone",
            "background_color": _LIGHT,
            "theme_color": _LIGHT,
            "icons": [
                {
                    "src": static(f"streaming/{name}"),
                    "sizes": sizes,
                    "type": type_,
                    "purpose": purpose,
                }
                for name, sizes, type_, purpose in _ICONS
            ],
            "shortcuts": [{"name": _("New chat"), "url": home}],
        }
    response = JsonResponse(body, content_type="application/manifest+json")
    patch_cache_control(response, public=True, max_age=_HOUR)
    return response


@never_cache
@require_safe
def service_worker(request: HttpRequest) -> HttpResponse:
    """Return the worker's script; where the offline page is switched off, one that takes itself and
    what it kept away."""
    language = request.GET.get("language", settings.LANGUAGE_CODE)
    _require(language)
    name = "worker" if conf.get().offline_page else "farewell"
    text = render_to_string(f"streaming/app/{name}.js", _worker_values(language))
    return HttpResponse(
        text,
        content_type="text/javascript; charset=utf-8",
        headers={"Service-Worker-Allowed": reverse("chat")},
    )


def _worker_values(language: str) -> dict[str, str]:
    page = reverse("offline", args=[language])
    kept = [page, *(f"{url}?offline" for url in _styles())]
    with translation.override(language):
        text = render_to_string("streaming/offline.html", _page_values(language))
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return {"version": version, "page": json.dumps(page), "kept": json.dumps(kept)}


@require_safe
def offline(request: HttpRequest, language: str) -> HttpResponse:
    """Return the page that is shown when there is no network."""
    _require(language)
    with translation.override(language):
        return render(request, "streaming/offline.html", _page_values(language))


def _page_values(language: str) -> dict[str, Any]:
    return {"language": language, "styles": _styles()}


def _styles() -> list[str]:
    return [static(f"streaming/{name}") for name in _STYLES]


def _require(language: str) -> None:
    if language not in dict(settings.LANGUAGES):
        raise Http404
