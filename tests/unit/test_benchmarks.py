"""The benchmark's own arithmetic, tables and command, without measuring anything."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from benchmarks import command
from benchmarks.charts import svg
from benchmarks.goals import GOALS, Goal, goal_list, goal_table
from benchmarks.numbers import gaps, median, percentile, ratio, slope
from benchmarks.options import Options
from benchmarks.parts import forwarding, poisson, soak, streams, waiting_list
from benchmarks.prompts import prompt_of, turns
from benchmarks.report import (
    README_END,
    README_START,
    Chart,
    Section,
    Table,
    as_json,
    markdown_section,
    markdown_table,
    shown,
    write_between,
)
from benchmarks.running import run_part
from benchmarks.systems.apart import Apart
from benchmarks.systems.base import Stream, System, tokens_per_second
from streaming.waiting_list.channel_layers import MemoryChannelLayer

NAN = float("nan")


class Parrot(System):
    """Says each prompt's length in tokens; in a process of its own it may fail and die."""

    name = "parrot"

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def start(self) -> None:
        if self.fault == "start":
            raise ValueError("no feathers")

    def close(self) -> None:
        pass

    def answer(self, prompts: Sequence[str], max_tokens: int) -> list[Stream]:
        if "fail" in prompts:
            raise ValueError("no voice")
        if "die" in prompts:
            os._exit(3)
        return [Stream(tokens=min(len(prompt), max_tokens)) for prompt in prompts]


def test_a_system_answers_from_a_process_of_its_own() -> None:
    with Apart(Parrot, "", as_torch_is=True) as parrot:
        assert parrot.name == "parrot"
        assert [stream.tokens for stream in parrot.answer(["a", "four"], 3)] == [1, 3]
        with pytest.raises(RuntimeError, match="no voice"):
            parrot.answer(["fail"], 3)
    with Apart(Parrot, "") as parrot, pytest.raises(RuntimeError, match="has ended"):
        parrot.answer(["die"], 3)
    with pytest.raises(RuntimeError, match="no feathers"):
        Apart(Parrot, "start").__enter__()


def stream(sent: float, *moments: float, tokens: int = 0, status: str = "completed") -> Stream:
    last = moments[-1] if moments else sent
    return Stream(sent, list(moments), ended=last, tokens=tokens or len(moments), status=status)


# --- numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([5.0], 99, 5.0), ([1.0, 2.0], 50, 1.5), ([3.0, 1.0, 2.0], 100, 3.0), ([1.0, 2.0], 0, 1.0)],
)
def test_a_percentile_lies_between_the_nearest_values(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == expected


def test_numbers_of_nothing_are_nothing() -> None:
    assert all(map(math.isnan, (percentile([], 99), median([]), slope([]), slope([(1, 2)]))))
    assert math.isnan(ratio(1, 0))
    assert math.isnan(ratio(1, NAN))
    assert gaps([1.0]) == []
    with pytest.raises(ValueError, match="101"):
        percentile([1.0], 101)


def test_a_slope_is_that_of_the_line() -> None:
    assert slope([(0, 10), (1, 12), (2, 14)]) == pytest.approx(2)


def test_what_is_noted_of_an_answer() -> None:
    answer = stream(10.0, 10.5, 10.6, 10.9, tokens=5)
    assert answer.ttft == pytest.approx(0.5)
    assert answer.itl == pytest.approx([0.1, 0.3])
    assert answer.tpot == pytest.approx(0.1)
    assert math.isnan(stream(1.0).ttft)
    assert math.isnan(stream(1.0, 2.0).tpot)
    both = [answer, stream(10.0, 11.0, tokens=15)]
    assert tokens_per_second(both) == pytest.approx(20)


# --- prompts -------------------------------------------------------------------------------


def test_prompts_have_their_length_and_share_no_beginning() -> None:
    some = [prompt_of(200, seed) for seed in range(30)]
    assert {len(text.split()) for text in some} == {200}
    assert len({text.split()[0] for text in some}) == 30
    assert prompt_of(200, 1) == some[1]


def test_the_shipped_prompts_are_pairs_of_turns() -> None:
    pairs = turns(None)
    assert len(pairs) == 40
    assert {len(pair) for pair in pairs} == {2}


@pytest.mark.parametrize("line", ["", "{", "[]", '{"turns": []}', '{"turns": [3]}'])
def test_a_wrong_file_of_prompts_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(line, encoding="utf-8")
    with pytest.raises(ValueError, match=r"prompts\.jsonl"):
        turns(file)


# --- tables and charts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.0, "1,234,567"), (12.345, "12.3"), (1.2345, "1.23"), (0.012345, "0.0123"),
     (0.0, "0"), (7, "7"), (None, "–"), (NAN, "–"), ("a|b", "a\\|b"), (0.99999, "1.000")],
)  # fmt: skip
def test_values_are_shown_with_the_digits_that_count(
    value: float | int | str | None, text: str
) -> None:
    assert shown(value) == text


def test_a_table_has_its_numbers_to_the_right() -> None:
    table = Table(["name", "ms"], title="Steps")
    table.add("one", 1.5)
    table.add("two", None)
    assert markdown_table(table).splitlines() == [
        "**Steps**", "", "| name | ms |", "|---|---:|", "| one | 1.50 |", "| two | – |",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="2 columns"):
        table.add("three")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "lines",
    [{}, {"none": []}, {"nan": [(1, NAN)]}, {"one": [(1, 5)]}, {"same": [(1, 0), (2, 0)]},
     {"<a>": [(1, 0.01), (32, 250.0)], "b": [(1, 3), (4, math.inf)]}],
)  # fmt: skip
def test_a_chart_is_well_formed(lines: dict[str, list[tuple[float, float]]], log: bool) -> None:
    text = svg(Chart("c", 'A "chart" & more', "x", "y", lines, log_x=log, log_y=log))
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    drawn = [each.get("points", "") for each in root.iter() if each.tag.endswith("polyline")]
    assert all(
        math.isfinite(float(at)) for points in drawn for at in points.replace(",", " ").split()
    )


def test_json_has_no_nan() -> None:
    section = Section("steps", "Steps", {"ratio": NAN}, charts=[Chart("c", "", "", "", {})])
    found = json.loads(as_json({"date": "today"}, [section], []))
    assert found["parts"][0]["figures"] == {"ratio": None}


def test_a_failed_section_says_why() -> None:
    text = markdown_section(Section("steps", "Steps", error="Traceback\nValueError: no model\n"))
    assert "Failed: ValueError: no model" in text


def test_the_readmes_table_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{README_START}\nold\n{README_END}\nafter\n", encoding="utf-8")
    write_between(page, "new\n")
    write_between(page, "newer")
    expected = f"before\n{README_START}\nnewer\n{README_END}\nafter\n"
    assert page.read_text(encoding="utf-8") == expected
    for wrong in ("nothing", f"{README_END}{README_START}", README_START):
        page.write_text(wrong, encoding="utf-8")
        with pytest.raises(ValueError, match=r"README\.md"):
            write_between(page, "text")
        assert page.read_text(encoding="utf-8") == wrong


# --- goals ---------------------------------------------------------------------------------


def test_goals_are_met_missed_or_not_measured() -> None:
    least, most = Goal("", "a.b", "at least", 3), Goal("", "a.b", "at most", 3)
    assert [least.met(value) for value in (3, 2.9, None, NAN)] == [True, False, None, None]
    assert [most.met(value) for value in (3, 3.1, None, NAN)] == [True, False, None, None]
    table = goal_table({"history.ratio": 1.2, "streams.ratio_seed_16": 4.0})
    assert [row[-1] for row in table.rows] == ["missed", "met"]
    assert len(goal_list({})) == len(GOALS)


def test_every_goal_is_of_a_part() -> None:
    parts = {*command.PARTS, *command.ON_REQUEST}
    assert {goal.figure.split(".")[0] for goal in GOALS} <= parts


# --- the parts' reports --------------------------------------------------------------------


class Counting(System):
    """Answers with so many tokens in each of ten tenths of a second."""

    def __init__(self, name: str, tokens: int) -> None:
        self.name, self._tokens = name, tokens

    def start(self) -> None: ...

    def close(self) -> None: ...

    def answer(self, prompts: object, max_tokens: int) -> list[Stream]:
        assert isinstance(prompts, list)
        moments = [tenth / 10 for tenth in range(1, 11)]
        return [stream(0.0, *moments, tokens=self._tokens) for _ in prompts]


def test_streams_have_the_figures_that_the_goals_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    rates = {"served": 90, "raw": 100, "transformers": 30, "seed": 10, "one_each": 9}

    @contextmanager
    def fake(options: Options, rows: int):  # type: ignore[no-untyped-def]
        yield {name: Counting(name, tokens) for name, tokens in rates.items()}

    monkeypatch.setattr(streams, "systems", fake)
    section = streams.measure(Options(repeat=1))
    wanted = {goal.figure for goal in GOALS if goal.figure.startswith("streams.")}
    assert wanted <= set(command.figures([section]))
    assert section.figures["ratio_transformers_16"] == pytest.approx(3)
    assert section.figures["delivered_32"] == pytest.approx(0.9)
    assert section.figures["tokens_per_second_8"] == pytest.approx(720)
    assert "| 16 | 0.900 | 3.00 | 9.00 | 10.0 |" in markdown_section(section)


def test_arrivals_are_counted_by_what_became_of_them() -> None:
    outcome = poisson.Outcome(1.2, 3.0, seconds=10.0)
    waited = stream(0.0, 12.0, 12.1)
    waited.queue_seconds, waited.eta = 10.0, 8.0
    outcome.streams = [stream(0.0, 0.5, 0.6), waited, stream(0.0, status="queue_full"),
                       stream(0.0, status="failed")]  # fmt: skip
    outcome.faults = ["OSError: gone"]
    section = poisson.report([outcome], 2.5, "ours")
    row = dict(zip(section.tables[0].columns, section.tables[0].rows[0], strict=True))
    counts = [row[name] for name in ("sent", "answered", "refused", "failed")]
    assert counts == [5, 2, 1, 2]
    assert section.figures["goodput_1.2"] == pytest.approx(0.1)
    assert row["ETA error p50, %"] == pytest.approx(20)


def test_a_soak_finds_what_is_not_accounted_for() -> None:
    account = soak.Account(accepted={"a", "b", "c"}, left={"c"})
    account.end("a", {"response": {"status": "completed", "usage": {"output_tokens": 5}}})
    samples = [(minute, 500.0 + minute) for minute in range(9)]
    section = soak.report(account, samples, {"completed": 2, "cancelled": 1}, 8)
    assert account.lost == {"b"}
    assert section.figures["lost"] == 1
    assert section.figures["mb_per_hour"] == pytest.approx(60)
    account.end("b", {"response": {"status": "failed", "usage": {"output_tokens": 0}}})
    assert soak.report(account, samples, {"completed": 3}, 8).figures["lost"] == 0
    assert soak.report(account, samples, {"completed": 2, "queued": 1}, 8).figures["lost"] == 1
    assert soak.report(account, samples, {"completed": 2}, 8).figures["lost"] == 1


async def test_the_waiting_list_is_used_at_each_size() -> None:
    found = await waiting_list.grow_and_use(MemoryChannelLayer(), (10, 100), 3)
    assert list(found) == [10, 100]
    for times in found.values():
        assert {name: len(taken) for name, taken in times.items()} == {
            "enqueue": 3, "claim": 3, "position": 3, "withdraw": 3, "snapshot": 5,
        }  # fmt: skip
    section = Section("waiting_list", "")
    table = waiting_list.table_of("", "memory", found, section)
    assert len(table.rows) == len(waiting_list.OPERATIONS)
    assert section.figures["memory_claim_p95"] > 0


def test_the_part_forwarding() -> None:
    stream = Stream(sent=0.0, moments=[0.0, 0.5, 1.0, 1.04, 1.1, 5.0, 5.5, 6.0])
    assert forwarding.steady_gaps([stream, Stream()]) == pytest.approx([0.04, 0.06, 3.9])
    section = Section("forwarding", "")
    found = {"passed on": forwarding.Found([0.04, 0.05], [0.0001]), "bundled": forwarding.Found()}
    table = forwarding.table_of(found, section)
    assert len(table.rows) == 2
    assert section.figures["passed_on_gap_median"] == pytest.approx(45)
    assert section.figures["passed_on_cpu"] == pytest.approx(0.1)


# --- the command ---------------------------------------------------------------------------


def test_the_command_line() -> None:
    assert command.parse([]).parts == list(command.PARTS)
    assert command.parse(["soak", "--minutes", "2"]).parts == ["soak"]
    assert command.parse(["--only", "steps", "machine"]).parts == ["machine", "steps"]
    assert command.parse(["--set", "A=b=c"]).set == [("A", "b=c")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nothing"], "nothing"), (["--repeat", "0"], "0"), (["--prompts", "/no/file"], "/no/file"),
     (["soak", "--minutes", "nan"], "nan"), (["--set", "A"], "NAME=VALUE")],
)  # fmt: skip
def test_a_wrong_command_line_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.parse(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_failing_part_is_named_and_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(name: str, options: Options, patience: float) -> Section:
        if name == "machine":
            return Section(name, "The machine", error="Traceback\nOSError: no memory")
        chart = Chart("plot", "A plot", "x", "y", {"a": [(1, 2)]})
        return Section(name, "History", {"ratio": 1.1}, charts=[chart])

    monkeypatch.setattr(command, "run_part", fake)
    arguments = ["machine", "history", "poisson", "--output", str(tmp_path), "--name", "here"]
    assert command.main(arguments) == 1
    captured = capsys.readouterr()
    assert "Failed: machine." in captured.err
    assert "OSError: no memory" in captured.out
    assert (tmp_path / "here.md").read_text(encoding="utf-8") in captured.out
    assert (tmp_path / "here" / "plot.svg").is_file()
    found = json.loads((tmp_path / "here.json").read_text(encoding="utf-8"))
    assert [part["name"] for part in found["parts"]] == ["machine", "history", "poisson"]
    assert next(goal for goal in found["goals"] if goal["figure"] == "history.ratio")["met"]


def test_a_part_that_cannot_be_run_is_a_section_with_its_error() -> None:
    section = run_part("no_such_part", Options(), patience=60)
    assert "no_such_part" in section.error
    assert section.seconds > 0


def test_what_a_dying_part_leaves_behind_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYING_PART_LEFT", str(tmp_path / "pid"))
    section = run_part("dying_part", Options(), patience=60, package="tests.support")
    assert section.error == "its process ended with status 7"
    left = int((tmp_path / "pid").read_text())
    with contextlib.suppress(psutil.NoSuchProcess):
        process, until = psutil.Process(left), time.monotonic() + 30
        while process.status() != psutil.STATUS_ZOMBIE:  # killed, and nobody there to notice
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_part_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DYING_PART_LEFT", raising=False)
    section = run_part("dying_part", Options(), patience=0.01, package="tests.support")
    assert "did not end within" in section.error
