"""The names of accounts, for what keeps who did it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from streaming.record.database import in_database


@in_database
def username(pk: Any) -> str:
    """Return an account's name; empty if it is gone."""
    user = get_user_model()._default_manager.filter(pk=pk).first()
    return user.get_username() if user else ""
