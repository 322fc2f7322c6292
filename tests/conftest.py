"""What all tests share."""

from __future__ import annotations

from django.conf import settings


def pytest_report_header() -> str:
    return f"database: {settings.DATABASES['default']['ENGINE']}"
