"""`python -m benchmarks`: runs the parts one after the other and writes what they found.

A part that fails or hangs is named, and the others go on.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.charts import svg
from benchmarks.goals import goal_list, goal_table
from benchmarks.options import FOLDER, Options, say
from benchmarks.report import Section, as_json, markdown_section, markdown_table, write_between
from benchmarks.running import PATIENCE_SECONDS, run_part

PARTS = (
    "machine",
    "steps",
    "streams",
    "interference",
    "history",
    "poisson",
    "waiting_list",
    "sockets",
    "arrivals",
    "forwarding",
    "quality",
    "loading",
)
ON_REQUEST = ("soak",)
"""Parts that run only when they are named."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line. Exits with status 2 if it is not understood."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure everything on this machine; write Markdown, JSON and plots.",
    )
    every = (*PARTS, *ON_REQUEST)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"default: all but soak; of {', '.join(every)}"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="the same")
    parser.add_argument("--quick", action="store_true", help="about five minutes, rougher")
    parser.add_argument("--repeat", type=_count, help="interleaved repetitions (3; quick: 1)")
    parser.add_argument("--output", type=Path, default=FOLDER / "results", metavar="FOLDER")
    parser.add_argument("--name", help="of the result's files (default: by processor and cores)")
    parser.add_argument("--model", default="", help="as CHATSTREAM_MODEL")
    parser.add_argument(
        "--chat-template", type=Path, help="of a model that has none, as CHATSTREAM_CHAT_TEMPLATE"
    )
    parser.add_argument("--dtype", default="auto", help="as CHATSTREAM_DTYPE")
    parser.add_argument(
        "--dtypes",
        nargs="+",
        default=["float32", "bfloat16"],
        metavar="DTYPE",
        help="what the part quality compares, the first being the measure",
    )
    parser.add_argument("--prompts", type=Path, help="JSON lines with `turns`, as MT-bench's")
    parser.add_argument(
        "--streams", nargs="+", type=_count, default=[], metavar="N",
        help="of the part streams: only so many, with short prompts, and no peers but "
        "transformers' continuous batching",
    )  # fmt: skip
    parser.add_argument("--peer-url", default="", help="base URL of any OpenAI-compatible server")
    parser.add_argument("--peer-model", default="", help="its model (default: the first it lists)")
    parser.add_argument(
        "--set",
        action="append",
        type=_setting,
        default=[],
        metavar="NAME=VALUE",
        help="of the environment of the servers that are measured",
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="of the part soak")
    parser.add_argument("--readme", type=Path, help="page whose benchmark table is to be replaced")
    found = parser.parse_args(arguments)
    wanted = {*found.parts, *found.only}
    if unknown := wanted - set(every):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    found.parts = [name for name in every if name in wanted]
    found.parts = found.parts or list(PARTS)
    if found.prompts and not found.prompts.is_file():
        parser.error(f"--prompts {found.prompts} is no file")
    if found.chat_template and not found.chat_template.is_file():
        parser.error(f"--chat-template {found.chat_template} is no file")
    if not found.minutes > 0:
        parser.error(f"--minutes {found.minutes:g} is not above 0")
    return found


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return int(text)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


def main(arguments: list[str]) -> int:
    """The exit status: 0, or 1 if a part failed, or 130 if it was interrupted."""
    found = parse(arguments)
    options = Options(
        quick=found.quick,
        repeat=found.repeat or (1 if found.quick else 3),
        model=found.model,
        chat_template=found.chat_template and found.chat_template.resolve(),
        dtype=found.dtype,
        dtypes=tuple(found.dtypes),
        prompts=found.prompts and found.prompts.resolve(),
        streams=tuple(found.streams),
        peer_url=found.peer_url,
        peer_model=found.peer_model,
        minutes=found.minutes,
        settings=tuple(found.set),
    )
    sections: list[Section] = []
    began, interrupted = time.monotonic(), False
    for name in found.parts:
        try:
            patience = PATIENCE_SECONDS + 60 * options.minutes * (name in ON_REQUEST)
            sections.append(run_part(name, options, patience))
        except KeyboardInterrupt:
            say("Interrupted: what was measured until now is written.")
            interrupted = True
            break
    minutes = (time.monotonic() - began) / 60
    name = found.name or machine_name()
    print(write(sections, found.output, name, arguments, minutes, found.readme))
    failed = [section.name for section in sections if section.error]
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 130 if interrupted else int(bool(failed))


def figures(sections: list[Section]) -> dict[str, float]:
    """Return all figures of the sections, by `section.figure`."""
    return {f"{s.name}.{name}": value for s in sections for name, value in s.figures.items()}


def machine_name() -> str:
    """A file's name that tells the machine: its processor, and how many of its cores."""
    from benchmarks.parts.machine import processor

    plain = re.sub(r"[^a-z0-9]+", "-", f"{processor()} {psutil.cpu_count()} cores".lower())
    return plain.strip("-")


def write(
    sections: list[Section],
    folder: Path,
    name: str,
    arguments: list[str],
    minutes: float,
    readme: Path | None = None,
) -> str:
    """Write `<name>.md`, `.json` and the plots, and the table into `readme`; the Markdown."""
    plots = folder / name
    for section in sections:
        for chart in section.charts:
            plots.mkdir(parents=True, exist_ok=True)
            (plots / f"{chart.name}.svg").write_text(svg(chart), encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    known = figures(sections)
    command = " ".join(["python -m benchmarks", *arguments])
    day = datetime.now(UTC).date().isoformat()
    goals = goal_table(known)
    head: dict[str, Any] = {"command": command, "date": day, "minutes": round(minutes, 1)}
    page = [f"# {name}", f"`{command}`, {day}, {minutes:.0f} minutes. How to read it: "
            "[docs/benchmarks.md](../../docs/benchmarks.md)."]  # fmt: skip
    if goals.rows:
        page += ["## Goals", markdown_table(goals)]
    page += [markdown_section(section, f"{name}/") for section in sections]
    text = "\n\n".join(page) + "\n"
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    (folder / f"{name}.json").write_text(
        as_json(head, sections, goal_list(known)), encoding="utf-8"
    )
    if readme:
        write_between(readme, summary(sections, name, day))
    return text


def summary(sections: list[Section], name: str, day: str) -> str:
    """What the README shows: the machine, streams side by side, and the goals."""
    by_name = {section.name: section for section in sections}
    machine = by_name.get("machine")
    parts = [f"Measured on {machine.notes[0] if machine and machine.notes else name}, {day}:"]
    streams = by_name.get("streams")
    if streams and streams.tables:
        parts.append(markdown_table(streams.tables[0]))
    goals = goal_table(figures(sections))
    if goals.rows:
        parts.append(markdown_table(goals))
    parts.append(f"All of it: [benchmarks/results/{name}.md](benchmarks/results/{name}.md).")
    return "\n\n".join(parts)
