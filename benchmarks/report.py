"""What a part found, and the Markdown and JSON that are made of it.

It does not know how anything was measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

README_START, README_END = "<!-- benchmark -->", "<!-- /benchmark -->"

Value = float | int | str | None


@dataclass
class Table:
    """`columns` name the units; a row has one value for each of them."""

    columns: Sequence[str]
    rows: list[list[Value]] = field(default_factory=list)
    title: str = ""

    def add(self, *values: Value) -> None:
        """Raises ValueError unless there is a value for each column."""
        if len(values) != len(self.columns):
            raise ValueError(f"{len(values)} values for {len(self.columns)} columns: {values}")
        self.rows.append(list(values))


@dataclass
class Chart:
    """Lines over one x axis; `name` is the file's, points are (x, y)."""

    name: str
    title: str
    x_label: str
    y_label: str
    lines: dict[str, list[tuple[float, float]]]
    log_x: bool = False
    log_y: bool = False


@dataclass
class Section:
    """One part's outcome. `figures` are what goals and other parts refer to, by name."""

    name: str
    title: str
    figures: dict[str, float] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    seconds: float = 0.0


def shown(value: Value) -> str:
    """For people: three digits that count, thousands apart, a dash for what is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, str):
        return value.replace("|", "\\|").replace("\n", " ")
    if isinstance(value, int) or abs(value) >= 100 or value == 0 or not math.isfinite(value):
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(max(digits, 0), 4)}f}"


def markdown_table(table: Table) -> str:
    """A GitHub table; the numbers stand to the right."""
    right = [
        any(isinstance(row[at], float | int) for row in table.rows)
        for at in range(len(table.columns))
    ]
    lines = [
        "| " + " | ".join(table.columns) + " |",
        "|" + "|".join("---:" if number else "---" for number in right) + "|",
        *("| " + " | ".join(map(shown, row)) + " |" for row in table.rows),
    ]
    return "\n".join(([f"**{table.title}**", ""] if table.title else []) + lines)


def markdown_section(section: Section, plots: str = "") -> str:
    """`plots`: where the charts' files are, as the page reaches them."""
    parts = [f"## {section.title}"]
    if section.error:
        parts.append(f"Failed: {shown(section.error.strip().splitlines()[-1])}")
    parts += [markdown_table(table) for table in section.tables if table.rows]
    parts += section.notes
    parts += [f"![{chart.title}]({plots}{chart.name}.svg)" for chart in section.charts]
    return "\n\n".join(parts)


def as_json(head: dict[str, Any], sections: Sequence[Section], goals: list[dict[str, Any]]) -> str:
    """Everything, for programs. NaN is no JSON: what is missing is null."""
    whole = {**head, "goals": goals, "parts": [asdict(section) for section in sections]}
    return json.dumps(_without_nan(whole), indent=1, ensure_ascii=False) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return value


def write_between(page: Path, text: str) -> None:
    """Replace what stands between README_START and README_END.

    Raises ValueError if the page lacks the two, in this order, once each.
    """
    whole = page.read_text(encoding="utf-8")
    if whole.count(README_START) != 1 or whole.count(README_END) != 1:
        raise ValueError(f"{page} must have {README_START} and {README_END} once each.")
    before, rest = whole.split(README_START)
    if README_END not in rest:
        raise ValueError(f"In {page}, {README_END} stands before {README_START}.")
    after = rest.split(README_END)[1]
    page.write_text(
        f"{before}{README_START}\n{text.strip()}\n{README_END}{after}", encoding="utf-8"
    )
