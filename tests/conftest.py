"""What all tests share."""

from __future__ import annotations

import hypothesis
import pytest
from django.conf import settings

from tests.support import emptied_tables, mixed_order, second_try

# How long an example takes says more about the machine than about what is tested.
hypothesis.settings.register_profile("chatstream", deadline=None)
hypothesis.settings.load_profile("chatstream")


def pytest_configure() -> None:
    # The real one takes half a second for each password, on purpose. Servers that tests start as
    # processes of their own have it.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    emptied_tables.install()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mixed_order.mix(items)
    second_try.allow(items)


def pytest_report_header() -> str:
    return f"database: {settings.DATABASES['default']['ENGINE']}"
