"""Markdown on the page: what streams in, what is stored, and what must never run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.e2e import wire
from tests.e2e.page import OpenPage, ask, expect_connected, expect_status, text_of

RICH = """# Sorting

Use **`sorted`** for a *new* list.

```python
def top(words):
    return sorted(words)[:3]  # stable
```

| Function | Cost |
|---|--:|
| `sorted(x)` | O(n log n) |

1. One
2. Two
   - nested

> Quoted.
"""

ATTACKS = [
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "[click](javascript:document.title='owned')",
    "![x](javascript:alert(1))",
    "```\n</code></pre></div><script>document.title='owned'</script>\n```",
    "```<img src=x onerror=document.title='owned'>\ncode\n```",
    "<style>*{display:none}</style><iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<svg onload=\"document.title='owned'\"><form action=//evil.example><input>",
    "</div></div><div id=prompt>x</div><!-- {{ 7*7 }} {% now %}",
    "`<b onmouseover=alert(1)>x</b>` & &lt;script&gt;",
]


def is_harmless(page: Page) -> None:
    assert "owned" not in page.title().replace("document.title = 'owned'", "").split(" · ")[-1]
    unsafe = "script, style, iframe, img, svg:not(.actions svg), form:not(.editor), input, object"
    assert page.locator(".text").locator(unsafe).count() == 0
    assert page.locator(".bubble > *").count() == 0
    attributes: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('.text *')].flatMap(
            element => element.getAttributeNames()
                .filter(name => name.startsWith('on') || name === 'style' || name === 'id')
                .concat((element.href ?? '').startsWith('javascript') ? ['href'] : []))"""
    )
    assert attributes == []


def test_an_answer_is_rendered(open_fast: OpenPage) -> None:
    page = open_fast()
    answer = ask(page, f"say {RICH}")
    expect_status(answer, "completed")
    text = answer.locator(".text")
    expect(text.locator("h3")).to_have_text("Sorting")
    expect(text.locator("strong code")).to_have_text("sorted")
    expect(text.locator(".code[data-language=python] pre .k").first).to_have_text("def")
    expect(text.locator("td.align-right")).to_have_text("O(n log n)")
    expect(text.locator("ol > li")).to_have_count(2)
    expect(text.locator("ol ul > li")).to_have_text("nested")
    expect(text.locator("blockquote")).to_have_text("Quoted.")
    expect(text.locator(".tail")).to_have_count(0)
    live = text.evaluate("e => [...e.querySelectorAll('.block')].map(b => b.innerHTML)")
    page.reload()
    expect(page.locator(".copy-code")).to_have_count(1)
    assert text.evaluate("e => [...e.querySelectorAll('.block')].map(b => b.innerHTML)") == live


def test_ended_blocks_are_left_alone(open_fast: OpenPage) -> None:
    """What a reader has selected in a block stays selected while the answer goes on."""
    page = open_fast()
    paragraphs = "\n\n".join(f"Paragraph {number} has some words." for number in range(30))
    answer = ask(page, f"say {paragraphs}")
    expect(answer.locator(".block")).not_to_have_count(0)
    answer.locator(".block").nth(3).wait_for()
    page.evaluate(
        """() => {
            window.changed = 0;
            const first = document.querySelector('.block');
            const options = { childList: true, subtree: true, characterData: true };
            new MutationObserver(() => window.changed++).observe(first, options);
            getSelection().selectAllChildren(first);
        }"""
    )
    expect_status(answer, "completed")
    assert page.evaluate("window.changed") == 0
    assert page.evaluate("getSelection().toString().trim()") == "Paragraph 0 has some words."
    expect(answer.locator(".block")).to_have_count(30)


def test_the_page_changes_once_per_frame(open_fast: OpenPage) -> None:
    """However fast the tokens come."""
    page = open_fast()
    count = 2000

    def burst(route: WebSocketRoute) -> None:
        def answer(message: str | bytes) -> None:
            event = json.loads(message)
            ids = {"response_id": event["response_id"]}
            say(route, "response.queued", **ids, **PLACE, conversation_id=event["response_id"])
            say(route, "response.in_progress", **ids, **wire.begun(), sequence_number=1)
            for number in range(count):
                fields = {"delta": f"{number} ", "offset": 0, "blocks": [], "tail": None}
                say(
                    route,
                    "response.output_text.delta",
                    **ids,
                    sequence_number=number + 2,
                    **fields,
                )

        route.on_message(answer)
        greet(route)

    page.route_web_socket("**/ws/chat/*", burst)
    page.reload()
    expect_connected(page)
    page.evaluate(
        """() => {
            window.most = 0;
            let inFrame = 0;
            const text = () => document.querySelector('.answer .text');
            const reset = () => { inFrame = 0; requestAnimationFrame(reset); };
            reset();
            const append = CharacterData.prototype.appendData;
            CharacterData.prototype.appendData = function (data) {
                window.most = Math.max(window.most, ++inFrame);
                return append.call(this, data);
            };
        }"""
    )
    answer = ask(page, "burst")
    expect(answer.locator(".text")).to_contain_text(f" {count - 1} ")
    assert page.evaluate("window.most") == 1


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_the_model_writes_never_runs(open_fast: OpenPage, attack: str) -> None:
    page = open_fast()
    answer = ask(page, f"say {attack}\n\nand **more**")
    expect_status(answer, "completed")
    expect(answer.locator("strong")).to_have_text("more")
    is_harmless(page)
    shown = text_of(answer)
    page.reload()
    expect_connected(page)
    is_harmless(page)
    assert text_of(page.locator(".answer")) == shown
    assert page.locator("#prompt").count() == 1


def test_what_people_write_is_text(open_fast: OpenPage) -> None:
    page = open_fast()
    prompt = "say it\n" + "\n".join(ATTACKS)
    expect_status(ask(page, prompt), "completed")
    for _ in range(2):
        assert page.locator(".bubble").text_content() == prompt
        is_harmless(page)
        page.reload()
        expect_connected(page)


PLACE = {"position": 1, "size": 1, "workers": 1, "eta_seconds": None}


def say(route: WebSocketRoute, type_: str, **fields: Any) -> None:
    route.send(json.dumps({"type": type_, **fields}))


def greet(route: WebSocketRoute) -> None:
    limits = {"max_input_chars": 1000, "max_tokens": 10, "context_tokens": 100}
    say(route, "chatstream:session", protocol_version=2, model="scripted", limits=limits)


def test_a_server_without_markup_is_shown_as_text(open_fast: OpenPage) -> None:
    page = open_fast()

    def plain(route: WebSocketRoute) -> None:
        def answer(message: str | bytes) -> None:
            event = json.loads(message)
            ids = {"response_id": event["response_id"]}
            text = ATTACKS[0]
            say(route, "response.queued", **ids, **PLACE, conversation_id=event["response_id"])
            say(route, "response.in_progress", **ids, **wire.begun(), sequence_number=1)
            say(
                route,
                "response.output_text.delta",
                **ids,
                sequence_number=2,
                delta=text[:20],
                chatstream={"offset": 0},
            )
            type_, fields = wire.ended(text=text)
            say(route, type_, **ids, **fields, sequence_number=3)

        route.on_message(answer)
        greet(route)

    page.route_web_socket("**/ws/chat/*", plain)
    page.reload()
    expect_connected(page)
    answer = ask(page, "anything")
    expect_status(answer, "completed")
    expect(answer.locator(".text")).to_have_text(ATTACKS[0])
    is_harmless(page)
