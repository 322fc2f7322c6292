"""Each family is tried in one of the files here, which the workers of a run share out."""

from __future__ import annotations

from tests.unit.engine.families import test_experts, test_older, test_plain, test_windows
from tests.unit.engine.families.configurations import FAMILIES, WITH_MORE


def test_no_family_is_left_out() -> None:
    files = (test_experts, test_older, test_plain, test_windows)
    tried = [name for file in files for name in file.FAMILIES]
    assert sorted(tried) == sorted([*FAMILIES, *WITH_MORE])
