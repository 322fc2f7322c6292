"""The reader's links in templates, so that no view need know of them."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

from streaming import conf
from streaming.identity.owners import owner_of_request
from streaming.models import Share
from streaming.record import shares

register = template.Library()


@register.simple_tag(takes_context=True)
def shared_links(context: dict[str, Any]) -> list[tuple[Share, str]]:
    """`{% shared_links as links %}`: each of the reader's links, and its address."""
    if not conf.get().sharing:
        return []
    request = context["request"]
    links = shares.of_owner(owner_of_request(request))
    return [
        (link, request.build_absolute_uri(reverse("shared", args=[link.token]))) for link in links
    ]


@register.simple_tag
def may_import() -> bool:
    """`{% may_import as importing %}`: whether people may import conversations here."""
    return conf.get().max_import_mb > 0
