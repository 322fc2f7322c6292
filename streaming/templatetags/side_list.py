"""The side list in templates, so that no view need know of it."""

from __future__ import annotations

from typing import Any

from django import template

from streaming.identity.owners import owner_of_request
from streaming.pages.conversations import side_list
from streaming.pages.conversations.side_list import Page
from streaming.pages.preferences import zone_of

register = template.Library()


@register.simple_tag(takes_context=True)
def side_page(context: dict[str, Any]) -> Page:
    """`{% side_page as side %}`: the beginning of the reader's list."""
    request = context["request"]
    return side_list.page(owner_of_request(request), zone_of(request))
