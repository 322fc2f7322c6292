"""A project that names a module as it was called before is told the present name."""

from __future__ import annotations

import importlib
import logging.config
import pkgutil
import re
import subprocess
import sys
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.utils.module_loading import import_string

from streaming.apps import check_moved
from streaming.engine.base import EngineError
from streaming.system.moved import APP, MOVED, new_path
from tests.support.fake_engine import FakeEngine
from tests.support.processes import ROOT

BEFORE = [
    "streaming.probes.probes",
    "streaming.hosts.known_host",
    "streaming.middleware.permissions_policy",
    "streaming.middleware.visitor_cookie",
    "streaming.preferences.context",
    "streaming.layers.RedisChannelLayer",
    "streaming.layers.MemoryChannelLayer",
    "streaming.site.read_site_id",
    "streaming.static_files.HashedStorage",
    "streaming.sqlite_file.Connection",
    "streaming.logs.PlainFormatter",
    "streaming.logs.JsonFormatter",
    "streaming.routing.websocket_urlpatterns",
    "streaming.origin.OriginValidator",
    "streaming.starting.check_redis_at_import",
]
"""What the settings and the ASGI application of this site named before the rooms."""


@pytest.mark.parametrize("path", BEFORE)
def test_an_import_of_a_former_name_says_the_present_one(path: str) -> None:
    new = new_path(path)
    assert new
    assert import_string(new)
    with pytest.raises(ModuleNotFoundError) as refused:
        import_string(path)
    assert f" is {new.rpartition('.')[0]} now" in str(refused.value)


def told() -> list[str]:
    """The present names in the two tables of `docs/upgrading.md` for settings, URLs and ASGI."""
    page = (ROOT / "docs" / "upgrading.md").read_text(encoding="utf-8")
    tables = page.split("## A Django project of your own")[1].split("\nIn code that imports ours")[
        0
    ]
    cells = [line.strip("|").split("|")[-1] for line in tables.splitlines() if line[:1] == "|"]
    return [re.findall(r"`([^`]+)`", cell)[0] for cell in cells if "`" in cell]


@pytest.mark.parametrize("path", told())
def test_each_name_that_the_page_of_upgrades_gives_is_there(path: str) -> None:
    assert len(told()) > 10
    assert pkgutil.resolve_name(path)


@pytest.mark.parametrize("module", MOVED.values())
def test_each_present_name_is_there(module: str) -> None:
    assert importlib.import_module(f"{APP}.{module}")


@pytest.mark.parametrize("module", ["streaming.urls", "streaming.conversations.urls"])
def test_so_does_an_include(module: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"is streaming\.pages\.\w+ now"):
        importlib.import_module(module)


def test_so_does_the_configuration_of_logging() -> None:
    formatter = {"plain": {"()": "streaming.logs.PlainFormatter"}}
    with pytest.raises(ValueError, match="formatter 'plain'") as refused:
        logging.config.dictConfig({"version": 1, "formatters": formatter})
    assert "streaming.monitoring.logs" in str(refused.value.__cause__)


def test_the_check_names_all_that_has_moved_at_once(settings: Any) -> None:
    assert check_moved() == []
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "streaming.hosts.known_host"]
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "streaming.layers.RedisChannelLayer",
            "CONFIG": {
                "hosts": ["redis://streaming.layers"],
                "site": "streaming.site.read_site_id",
            },
        }
    }
    errors = check_moved()
    assert [error.id for error in errors] == ["streaming.E006"] * 3
    assert [error.msg for error in errors] == [
        "MIDDLEWARE has 'streaming.hosts.known_host': "
        "it is 'streaming.deployment.hosts.known_host' now.",
        "CHANNEL_LAYERS has 'streaming.layers.RedisChannelLayer': "
        "it is 'streaming.waiting_list.channel_layers.RedisChannelLayer' now.",
        "CHANNEL_LAYERS has 'streaming.site.read_site_id': "
        "it is 'streaming.record.site.read_site_id' now.",
    ]
    with pytest.raises(SystemCheckError, match=r"streaming\.deployment\.hosts\.known_host"):
        call_command("check")


@pytest.mark.parametrize(
    ("former", "present"),
    [("absence", "unavailable_reason"), ("prefixes", "cached_prefix_capacity")],
)
def test_an_engine_with_a_former_name_is_refused(former: str, present: str) -> None:
    """Nobody would ask for it: an engine that is away would be given prompts."""
    with pytest.raises(
        EngineError, match=rf"Own has `{former}`: it is `{present}` now\."
    ) as refused:
        type("Own", (FakeEngine,), {former: property(lambda self: "")})
    assert refused.value.code == "settings"
    assert type("Own", (FakeEngine,), {present: property(lambda self: "")})


@pytest.mark.parametrize("other", ["streaming.nothing", "streamings.layers", "layers", "streaming"])
def test_other_names_are_left_alone(other: str) -> None:
    assert new_path(other) is None


def test_no_django_is_needed_for_it() -> None:
    code = "import streaming, sys; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
