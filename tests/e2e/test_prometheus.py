"""The dashboard and the alerts, asked of a real Prometheus, as each of its versions scrapes."""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from tests.e2e.operators import Crowd
from tests.e2e.visitors import serving_fast
from tests.support.processes import ROOT, ServeProcess
from tests.support.prometheus import ACCEPTS, PATIENCE, Prometheus, asking_as, program

RULES = ROOT / "deploy" / "prometheus-alerts.yml"
RULE_TESTS = ROOT / "tests" / "e2e" / "prometheus-alerts.test.yml"
DASHBOARD = ROOT / "docs" / "grafana.json"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    yield from serving_fast(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def prometheus(
    site: ServeProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Scrapes the site once for each version, under the version's name."""
    program("prometheus")
    with ExitStack() as stack:
        targets = {
            job: stack.enter_context(asking_as(accept, f"{site.url}/metrics"))
            for job, accept in ACCEPTS.items()
        }
        targets["itself"] = site.url.removeprefix("http://")
        started = Prometheus(tmp_path_factory.mktemp("prometheus"), targets, RULES)
        stack.callback(started.stop)
        yield started


def expressions(node: Any, key: str = "expr") -> list[str]:
    if isinstance(node, dict):
        own = [node[key]] if key in node else []
        return own + [found for value in node.values() for found in expressions(value, key)]
    if isinstance(node, list):
        return [found for value in node for found in expressions(value, key)]
    return []


def scraped(site: ServeProcess, accept: str) -> tuple[str, str]:
    """Content type and text."""
    request = urllib.request.Request(f"{site.url}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def names_in(text: str) -> set[str]:
    """Of the samples, but for those that only OpenMetrics has."""
    found = re.findall(r"^([^\s#{]+|\{\"[^\"]+\")", text, re.MULTILINE)
    return {name for name in found if not name.endswith("_created")}


@pytest.mark.parametrize("job", [*ACCEPTS, "itself"])
def test_every_query_of_the_dashboard_finds_something(
    prometheus: Prometheus, site: ServeProcess, job: str
) -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = [
        found.replace("$job", job).replace("$__rate_interval", "30s")
        for found in expressions(dashboard)
    ]
    assert len(queries) >= 26
    crowd = Crowd(site)
    deadline = time.monotonic() + PATIENCE
    left = queries
    while left and time.monotonic() < deadline:
        crowd.ask("stop 3").until("response.in_progress")
        time.sleep(1)  # a scrape
        left = [query for query in left if not any(map(_is_number, prometheus.query(query)))]
    crowd.leave()
    assert left == [], f"{len(left)} of {len(queries)} find nothing"


def _is_number(value: float) -> bool:
    return not math.isnan(value)


@pytest.mark.parametrize("job", [*ACCEPTS, "itself"])
def test_all_that_the_alerts_select_is_there(prometheus: Prometheus, job: str) -> None:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    selectors = {
        selector
        for expression in expressions(rules)
        for selector in re.findall(r"chatstream[:_]\w+(?:\{[^}]*\})?|\bup\b", expression)
    }
    assert len(selectors) >= 6
    deadline = time.monotonic() + PATIENCE
    left = selectors
    while left and time.monotonic() < deadline:
        left = {s for s in left if not prometheus.query(f'({s}) and on (job) up{{job="{job}"}}')}
    assert left == set()


def test_the_alerts_are_evaluated_and_none_fires_for_a_healthy_site(
    prometheus: Prometheus,
) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        (group,) = prometheus.api("rules")["groups"]
        if all(rule["health"] != "unknown" for rule in group["rules"]):
            break
        time.sleep(0.2)
    said = {rule["name"]: (rule["health"], rule["state"]) for rule in group["rules"]}
    assert said == dict.fromkeys(said, ("ok", "inactive"))


@pytest.mark.parametrize("job", ACCEPTS)
def test_each_version_reads_the_same_names(site: ServeProcess, job: str) -> None:
    content_type, text = scraped(site, ACCEPTS[job])
    plain = scraped(site, "text/plain")[1]
    assert names_in(text) == names_in(plain), content_type
    assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) for name in names_in(text))
    declared = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    ends = r"_(bucket|count|sum|total|created|info)$"
    assert {re.sub(ends, "", name) for name in names_in(text)} <= {
        re.sub(ends, "", name) for name in declared
    }


def test_promtool_finds_no_fault_with_the_metrics(site: ServeProcess) -> None:
    text = scraped(site, "text/plain")[1]
    done = run_promtool("check", "metrics", given=text)
    ours = [line for line in done.stdout.splitlines() if "chatstream" in line]
    assert (ours, done.stderr) == ([], ""), done


def test_the_alert_rules_are_valid_and_do_what_they_say() -> None:
    done = run_promtool("check", "rules", "--lint-fatal", str(RULES))
    assert done.returncode == 0, done
    done = run_promtool("test", "rules", str(RULE_TESTS))
    assert done.returncode == 0, done.stdout + done.stderr
    tested = set(expressions(yaml.safe_load(RULE_TESTS.read_text()), "alertname"))
    assert tested == set(expressions(yaml.safe_load(RULES.read_text()), "alert"))


def run_promtool(*args: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("promtool"), *args],
        input=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
