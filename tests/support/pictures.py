"""Takes the pictures of docs/: `python -m tests.support.pictures [NAME ...]`, all without a name.

A server with `PictureEngine`, a crowd that waits, and Chromium. With Pillow installed the files are
made small, by 256 colours; without it they are as Chromium writes them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.e2e.operators import QUEUE
from tests.e2e.page import ask, expect_answered, expect_waiting
from tests.support.picture_studio import Studio
from tests.support.processes import ROOT, ServeProcess

DOCS = ROOT / "docs"
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
WINDOW = {"viewport": {"width": 1180, "height": 760}}
PHONE = {
    "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2,
    "is_mobile": True, "has_touch": True,
}  # fmt: skip

LOAN = "What do I pay each month for a loan of 200,000 at 3 %? Give me the formula and a function."
TRAIN = (
    "A train leaves Paris at 8:00 at 60 km/h, another one Lyon at 10:00 at 140. The first is at "
    "120 km/h from 10:00 on, the way is 420 km. When do they meet?"
)
TIDES = "Why are there two high tides a day, and not one?"
HAIKU = "秋の俳句を一つ作って、季語を説明してください。"
SEED = ROOT / "tests" / "support" / "picture_record.py"


def take(page: Page, name: str) -> None:
    """Write the picture, small."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)
    path = DOCS / f"{name}.png"
    page.screenshot(path=path)
    with suppress(ImportError):
        from PIL import Image  # type: ignore[import-not-found]

        Image.open(path).convert("RGB").quantize(256, dither=0).save(path, optimize=True)
    print(name, path.stat().st_size)
    if (button := page.locator(".wait-withdraw")).is_visible():
        button.click()
        page.wait_for_timeout(500)
    page.context.close()


def answered(page: Page, prompt: str) -> None:
    expect_answered(ask(page, prompt))


# --- the pictures ---


def empty(studio: Studio) -> None:
    """The page before the first prompt, while others wait."""
    studio.crowd(8)
    take(studio.sign_in("maya.keller", **WINDOW), "chat-empty")


def wait(studio: Studio) -> None:
    """The seventh of twelve."""
    studio.crowd(8)
    page = studio.sign_in("maya.keller", **WINDOW)
    expect_waiting(ask(page, TIDES))
    studio.crowd(5)
    page.wait_for_timeout(3_000)
    take(page, "chat-wait")


def answer(studio: Studio) -> None:
    """Mathematics, a table and code."""
    page = studio.sign_in("maya.keller", **WINDOW)
    answered(page, LOAN)
    take(page, "chat-answer")


def thought(studio: Studio) -> None:
    """A thought folded above its answer."""
    page = studio.sign_in("jonas.weber", **WINDOW)
    answered(page, TRAIN)
    take(page, "chat-thought")


def share(studio: Studio) -> None:
    """The dialog with a link that was made."""
    page = studio.sign_in("maya.keller", **WINDOW)
    answered(page, TIDES)
    page.locator("#share").click()
    page.get_by_role("button", name="Make a link").click()
    take(page, "chat-share")


def phone(studio: Studio) -> None:
    """The wait on a phone."""
    studio.crowd(5)
    page = studio.open(**PHONE)
    expect_waiting(ask(page, TIDES))
    studio.crowd(3)
    take(page, "chat-phone")


def dark(studio: Studio) -> None:
    """An answer in dark colours."""
    page = studio.sign_in("maya.keller", color_scheme="dark", **WINDOW)
    answered(page, LOAN)
    take(page, "chat-dark")


def japanese(studio: Studio) -> None:
    """An answer on a phone in Japanese."""
    page = studio.open(locale="ja", **PHONE)
    answered(page, HAIKU)
    take(page, "chat-ja")


def queue(studio: Studio) -> None:
    """The live queue with eighty that wait, on a desk and on a phone."""
    studio.crowd(82)
    page = studio.operate(QUEUE, **DESKTOP)
    other = studio.operate(QUEUE, **PHONE)
    page.get_by_role("link", name="5 min").or_(page.get_by_role("button", name="5 min")).click()
    for _ in range(10):  # the lines of the charts
        page.wait_for_timeout(10_000)
        studio.crowd(80 - int(page.locator("#count-waiting").inner_text()))
    take(page, "queue")
    take(other, "queue-phone")


def transcript(studio: Studio) -> None:
    """A conversation, for those who may read it."""
    page = studio.sign_in("jonas.weber", **WINDOW)
    answered(page, TRAIN)
    answered(page, LOAN)
    page.wait_for_url("**/c/*/")
    name = page.url.rstrip("/").rpartition("/")[2]
    page.context.close()
    take(studio.operate(f"/admin/streaming/conversation/{name}/change/", **DESKTOP), "transcript")


def usage(studio: Studio) -> None:
    """What each owner has used."""
    take(studio.operate("/admin/streaming/response/usage/?window=7d", **DESKTOP), "usage")


def history(studio: Studio) -> None:
    """The list of responses, and the page of one."""
    take(studio.operate("/admin/streaming/response/", **DESKTOP), "history")
    page = studio.operate("/admin/streaming/response/?status__exact=completed", **DESKTOP)
    page.locator("#result_list tbody th a").first.click()
    page.wait_for_load_state()
    take(page, "history-timeline")


PICTURES: dict[str, Callable[[Studio], None]] = {
    one.__name__: one
    for one in (
        answer, thought, share, dark, japanese, transcript, usage, history, queue, empty, wait,
        phone,
    )
}  # fmt: skip


def main(names: list[str]) -> None:
    """Take the pictures of these functions, or all."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = ServeProcess(
            Path(folder),
            env={
                "CHATSTREAM_ENGINE": "tests.support.picture_engine.PictureEngine",
                "CHATSTREAM_MAX_RUNNING": "2",
                "CHATSTREAM_MAX_PER_ADDRESS": "0",
                "CHATSTREAM_MAX_SOCKETS": "500",
                "CHATSTREAM_DATA_DIR": folder,
                "FAKE_STEP_SECONDS": "0.06",
                "FAKE_THINKS": "1",
                "CHATSTREAM_MAX_REASONING_TOKENS": "512",
            },
        )
        try:
            server.wait_until_ready()
            secrets = server.manage("shell", "-v", "0", "-c", SEED.read_text()).split()
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
            for name in names or PICTURES:
                studio = Studio(browser, server, secrets)
                PICTURES[name](studio)
                studio.leave()
        finally:
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
