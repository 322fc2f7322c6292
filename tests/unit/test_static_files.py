"""Static files collected when they are old, and served as they are when they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.templatetags.static import static

from streaming.deployment import static_files


@pytest.fixture
def folders(settings: Any, tmp_path: Path) -> tuple[Path, Path]:
    """A source folder with one script and one that it imports, and where to collect to."""
    source, root = tmp_path / "source", tmp_path / "root"
    source.mkdir()
    (source / "a.js").write_text('import { b } from "./b.js";\nb();\n')
    (source / "b.js").write_text("export function b() {}\n")
    settings.STATICFILES_DIRS = [source]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = root
    return source, root


def test_before_it_is_collected_a_file_has_its_plain_name(folders: tuple[Path, Path]) -> None:
    assert static("a.js") == "/static/a.js"


def test_collected_files_have_hashed_names_and_name_each_other_so(
    folders: tuple[Path, Path],
) -> None:
    static_files.collect_if_old()
    first, second = static("a.js"), static("b.js")
    assert first != "/static/a.js"
    text = (folders[1] / first.removeprefix("/static/")).read_text()
    assert f'"./{second.removeprefix("/static/")}"' in text
    assert static("c.js") == "/static/c.js"  # not there; a page with it is better than none


def test_it_is_done_again_only_if_a_source_has_changed(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    collect = static_files.call_command

    def count(name: str, **options: Any) -> None:
        calls.append(name)
        collect(name, **options)

    monkeypatch.setattr(static_files, "call_command", count)
    static_files.collect_if_old()
    static_files.collect_if_old()
    assert calls == ["collectstatic"]
    before = static("a.js"), static("b.js")
    (folders[0] / "b.js").write_text("export function b() { return 1; }\n")
    static_files.collect_if_old()
    assert calls == ["collectstatic"] * 2
    assert static("b.js") != before[1]
    assert static("a.js") != before[0]  # it imports what has changed


def test_an_interrupted_collection_is_done_again(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, **options: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(static_files, "call_command", fail)
        static_files.collect_if_old()
    assert static("a.js") == "/static/a.js"
    static_files.collect_if_old()
    assert static("a.js") != "/static/a.js"


def test_a_folder_that_cannot_be_made_is_no_reason_not_to_start(
    folders: tuple[Path, Path], settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    settings.STATIC_ROOT = tmp_path / "file" / "root"
    static_files.collect_if_old()
    assert "served as they are" in caplog.text
    assert static("a.js") == "/static/a.js"
