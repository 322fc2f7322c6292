"""Commands as the documentation prints them, so that tests run nothing else."""

from __future__ import annotations

import re

from tests.support.processes import ROOT


def documented(page: str, name: str) -> str:
    """The shell commands below `<!-- name -->` in a page of docs/."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```", text, re.S)
    assert found, f"docs/{page} has no commands named {name}"
    return found[1]
