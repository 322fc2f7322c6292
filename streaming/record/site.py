"""Which site this is: an id that the database keeps, so that two databases never share one waiting
list."""

from __future__ import annotations

import secrets

from streaming.models import Site
from streaming.record.database import in_database


def site_id() -> str:
    """Return the id of this database, which is made when it is first asked for."""
    site, _ = Site.objects.get_or_create(pk=1, defaults={"key": secrets.token_hex(16)})
    return site.key


read_site_id = in_database(site_id)
"""The same for a channel layer."""
