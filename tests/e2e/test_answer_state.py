"""The state machine of an answer: every transition that may be, and that no other is made."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.support.processes import ServeProcess

NEXT = {
    "draft": {"sent"},
    "sent": {"queued", "held", "running", "resuming", "ended"},
    "queued": {"held", "running", "resuming", "ended"},
    "held": {"queued", "running", "resuming", "ended"},
    "running": {"resuming", "ended"},
    "resuming": {"sent", "queued", "held", "running", "ended"},
    "ended": set(),
}

TRY_ALL = """async ([url, names]) => {
    const { AnswerState } = await import(url);
    const made = {};
    for (const name of names) {
        made[name] = names.filter((next) => {
            const seen = [];
            const state = new AnswerState(name);
            state.onChange = (now) => seen.push(now);
            const isMade = state.to(next);
            if (state.name !== (isMade ? next : name)) throw new Error("it lies");
            if (seen.length !== (state.name === name ? 1 : 2)) throw new Error("it tells wrongly");
            return isMade && next !== name;
        });
    }
    return made;
}"""


def test_every_transition(browser: Browser, fast_server: ServeProcess) -> None:
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(f"{fast_server.url}/accounts/login/")
    url = f"{fast_server.url}/static/streaming/chat/answer_state.js"
    made = page.evaluate(TRY_ALL, [url, list(NEXT)])
    assert {name: set(following) for name, following in made.items()} == NEXT
    impossible = len(NEXT) * (len(NEXT) - 1) - sum(map(len, NEXT.values()))
    assert len(refused) == impossible
    assert "An answer cannot go from ended to running." in refused
    page.close()
