"""What somebody chooses for their browser: language, theme, and the time zone it tells us.

All three are cookies, so that the server renders a page right at once: no script stands in the
page, and nothing flashes.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.apps import apps
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import translation
from django.utils.cache import patch_cache_control
from django.utils.decorators import method_decorator
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_POST
from django.views.i18n import JavaScriptCatalog, set_language

from streaming import conf
from streaming.pages import installing

THEMES = ("light", "dark")
THEME_COOKIE = "theme"
SIDE_COOKIE = "side"
ZONE_COOKIE = "timezone"

_YEAR = 60 * 60 * 24 * 365


def context(request: HttpRequest) -> dict[str, Any]:
    """For every template: the choices made and to be made, and the script of translations.

    `theme` is "" for the system's; `languages` are named each in itself.
    """
    return {
        "languages": settings.LANGUAGES,
        "theme": theme_of(request),
        "catalog_url": catalog_url(translation.get_language() or settings.LANGUAGE_CODE),
        "may_sign_up": conf.get().signup,
        "side_closed": request.COOKIES.get(SIDE_COOKIE) == "closed",
        **installing.context(),
    }


def theme_of(request: HttpRequest) -> str:
    """The chosen theme, "" for the system's."""
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return theme if theme in THEMES else ""


def zone_of(request: HttpRequest) -> tzinfo:
    """The browser's time zone as its script has told us; UTC until then, and for nonsense."""
    try:
        return ZoneInfo(request.COOKIES.get(ZONE_COOKIE, ""))
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return UTC


@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Take `language` and `theme`, either may be missing, and go on to `next` on this site.

    Without `next`, back to the page that asked: a chat's address may have changed since it was
    rendered.
    """
    response: HttpResponse = set_language(request)
    theme = request.POST.get("theme")
    if theme in THEMES:
        response.set_cookie(
            THEME_COOKIE, theme, max_age=_YEAR, secure=settings.HTTPS, httponly=True, samesite="Lax"
        )
    elif theme is not None:
        response.delete_cookie(THEME_COOKIE, samesite="Lax")
    return response


# --- translations for the scripts ---


def catalog_url(language: str) -> str:
    """Where the scripts' translations are. The address changes with them, so it is kept long."""
    return f"{reverse('jsi18n', args=[language])}?v={_version(language)}"


@lru_cache(maxsize=16)
def _version(language: str) -> str:
    digest = hashlib.sha256()
    app = Path(apps.get_app_config("streaming").path)
    for folder in (app / "locale", *settings.LOCALE_PATHS):
        file = Path(folder) / language / "LC_MESSAGES" / "djangojs.mo"
        if file.exists():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@method_decorator(gzip_page, name="dispatch")  # nothing in it is anybody's secret
class Catalog(JavaScriptCatalog):
    """`gettext`, `ngettext` and `interpolate` for our scripts: with the app's translations, where a
    wheel has them, and the project's (LOCALE_PATHS). Django's own are not for them."""

    packages = ["streaming"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return the catalog of a language, kept for a year where the address has its version."""
        language = kwargs["language"]
        if language not in dict(settings.LANGUAGES):
            raise Http404
        with translation.override(language):
            response: HttpResponse = super().get(request, *args, **kwargs)
        if request.GET.get("v") == _version(language):
            patch_cache_control(response, public=True, max_age=_YEAR, immutable=True)
        return response
