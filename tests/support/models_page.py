"""The tables of docs/models.md, made of what the tests try and of the engine's own data.

`python -m tests.support.models_page` writes them into the page;
`test_models_page` says if that is due.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from streaming.engine.models.architecture import misfit
from streaming.engine.models.language_part import language_config
from streaming.engine.models.layer_kinds import CHUNKED, FULL, NOTHING, SLIDING, layer_kinds
from streaming.engine.models.quantised import methods, packages_of
from streaming.engine.templates.response_format import known_formats
from tests.support.processes import ROOT
from tests.unit.engine.families.configurations import FAMILIES, WITH_MORE, configuration
from tests.unit.engine.ggufs import CASES

PAGE = ROOT / "docs" / "models.md"

_KINDS = {FULL: "full", SLIDING: "sliding", CHUNKED: "chunked", NOTHING: "shared"}


def _families() -> str:
    rows = [_family(name) for name in sorted({*FAMILIES, *WITH_MORE}, key=str.lower)]
    return _table(("family, as it is tried", "class", "layers", "pass"), rows)


def _family(name: str) -> tuple[str, ...]:
    whole: Any = configuration(name)
    config = language_config(whole)
    kinds = dict.fromkeys(_KINDS[each.kind] for each in layer_kinds(config))
    model_class = f"`{MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config.model_type]}`"
    if name in WITH_MORE:
        model_class += f", the language part of `{whole.model_type}`"
    return name, model_class, ", ".join(kinds), "transformers'" if misfit(config) else "own"


def _ggufs() -> str:
    becomes: dict[str, set[str]] = {}
    for case in CASES.values():
        becomes.setdefault(case.architecture, set()).add(case.model_type)
    return _table(
        ("`general.architecture`", "becomes"),
        [(f"`{name}`", _code(sorted(becomes[name]))) for name in sorted(becomes)],
    )


def _quantised() -> str:
    rows = [
        (f"`{name}`", _code(packages_of(name)[0]), "plain weights" if plain else "as they are")
        for name, plain in methods().items()
    ]
    return _table(("`quant_method`", "packages", "are computed with"), rows)


def _thinking() -> str:
    rows = [
        (each.name, _code([*each.thought_opens, *each.header_opens]),
         _code([*each.thought_closes, *each.ends]), _code(each.when))
        for each in sorted(known_formats(), key=lambda each: each.name)
    ]  # fmt: skip
    return _table(("format", "opens", "closes or ends", "known by"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "families": _families, "ggufs": _ggufs, "quantised": _quantised, "thinking": _thinking,
}  # fmt: skip


def with_tables(page: str) -> str:
    """The page with each table between its two marks as it should be now."""
    for name, table in TABLES.items():
        parts = re.split(rf"(?<=<!-- {name} -->\n)[\s\S]*(?=<!-- /{name} -->)", page)
        assert len(parts) == 2, f"docs/models.md has no place for the table of {name}"
        page = table().join(parts)
    return page


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _code(words: Iterable[str]) -> str:
    """In Markdown, also where a word has a bar or a line break."""
    shown = (word.strip("\n").replace("\n", "↵").replace("|", "\\|") for word in words)
    return " ".join(f"`{word}`" for word in shown)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
