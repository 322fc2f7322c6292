"""Files, documents and links: of one's own conversations, and what a link shows to others."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from markdown_it import MarkdownIt

from streaming.models import Conversation, Message, Response, Share, Status
from streaming.record import retention, shares
from tests.integration.conftest import owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def web() -> Client:
    browser = Client()
    browser.get("/")
    return browser


def talk(owner: str, *turns: tuple[str, str], title: str = "The sea") -> Conversation:
    row = Conversation.objects.create(owner=owner, title=title)
    for turn in turns:
        say(row, *turn)
    return row


def say(
    row: Conversation,
    prompt: str,
    answer: str,
    *,
    reasoning: str = "",
    previous: Response | None = None,
    status: str = Status.COMPLETED,
) -> Response:
    newest = row.responses.order_by("-ordinal").first()
    asked = Message.objects.create(conversation=row, role="user", content=prompt)
    message = None
    if answer or reasoning:
        message = Message.objects.create(
            conversation=row, role="assistant", content=answer, reasoning=reasoning, parent=asked
        )
    return Response.objects.create(
        conversation=row,
        owner=row.owner,
        prompt=asked,
        message=message,
        previous=previous or newest,
        ordinal=(newest.ordinal if newest else 0) + 1,
        status=status,
        finished_at=timezone.now(),
    )


def link_of(web: Client, row: Conversation, **fields: str) -> str:
    page = web.post(f"/c/{row.pk}/share/link/", fields, follow=True)
    assert page.status_code == 200
    return f"/s/{Share.objects.get(conversation=row).token}/"


# --- files ---


def test_markdown_is_the_shown_path(web: Client) -> None:
    row = talk(owner_of(web), ("How deep?", "**Deep.**"))
    first = row.responses.get()
    other = say(row, "And how wide?", "", reasoning="Let me see.", previous=first)
    say(row, "And how cold?", "```\nx", previous=first)
    page = web.get(f"/c/{row.pk}/export/?format=md&leaf={other.pk}")
    assert page.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert page.headers["Content-Disposition"] == 'attachment; filename="The sea.md"'
    assert "no-store" in page.headers["Cache-Control"]
    text = page.getvalue().decode()
    assert "> How deep?" in text
    assert "**Deep.**" in text
    assert "<summary>Thought</summary>\n\n> Let me see." in text
    assert "*No answer.*" in text
    assert "cold" not in text
    newest = web.get(f"/c/{row.pk}/export/?format=md").getvalue().decode()
    assert newest.endswith("```\nx\n```\n")


HOSTILE = [
    "```\nnever closed",
    "<!-- never closed",
    "# You\n\n> quoted",
    "<pre>\n\n<script>alert(1)</script>",
    "\x0b\x0c\r\n## You · today",
]


def test_nobody_speaks_with_anothers_mouth(web: Client) -> None:
    """Whatever is written, the headings of turns are as many as there are turns."""
    row = talk(owner_of(web), *((text, text) for text in HOSTILE), title="<!-- # x\r\n`")
    text = web.get(f"/c/{row.pk}/export/?format=md").getvalue().decode()
    tokens = MarkdownIt("commonmark").parse(text)
    heads = [token.map[0] for token in tokens if token.type == "heading_open" and token.map]
    lines = text.splitlines()
    said = [line for line in (text.split("\n")[at] for at in heads) if line.startswith("## ")]
    assert lines[0].startswith("# ")
    assert [head for head in said if head == "## Assistant"] == ["## Assistant"] * len(HOSTILE)


def test_names_of_files(web: Client) -> None:
    row = talk(owner_of(web), ("a", "b"), title="../海\r\nX-Evil: 1")
    headers = web.get(f"/c/{row.pk}/export/?format=json").headers
    assert headers["Content-Disposition"] == (
        "attachment; filename*=utf-8''%E6%B5%B7%20X-Evil%201.json"
    )
    assert "X-Evil" not in headers


def test_json_is_all_of_it(web: Client) -> None:
    row = talk(owner_of(web), ("How deep?", "Deep."))
    value = json.loads(web.get(f"/c/{row.pk}/export/?format=json").getvalue())
    assert value["format"] == "chatstream.conversation/1"
    assert [each["content"] for each in value["messages"]] == ["How deep?", "Deep."]
    assert web.get(f"/c/{row.pk}/export/?format=pdf").status_code == 400


def test_an_export_is_imported_once_its_original_is_gone(web: Client) -> None:
    row = talk(owner_of(web), ("How deep?", "Deep."))
    text = web.get(f"/c/{row.pk}/export/?format=json").getvalue()

    def give() -> Any:
        file = SimpleUploadedFile("x.json", text)
        return web.post("/import/", {"file": file}).context["report"]

    assert list(give().skipped) == ["known"]
    web.post(f"/conversations/{row.pk}/delete/")
    report = give()
    assert report.imported == 1
    again = Conversation.objects.get()
    assert str(again.pk) == report.first
    window = web.get(f"/c/{again.pk}/").context["window"]
    assert [(turn.prompt, turn.details["text"]) for turn in window.turns] == [
        ("How deep?", "Deep.")
    ]


def test_an_accounts_archive_is_imported(web: Client) -> None:
    from streaming.accounts.archive import write_archive

    user = User.objects.create_user("ann", password="x")
    mine = Conversation.objects.create(owner=f"user:{user.pk}", user=user, title="海")
    say(mine, "How deep?", "Deep.")
    program = Conversation.objects.create(owner=f"user:{user.pk}", user=user, source="api")
    say(program, "a", "b")
    made = io.BytesIO()
    write_archive(user, made)
    file = SimpleUploadedFile("account.zip", made.getvalue())
    report = web.post("/import/", {"file": file}).context["report"]
    assert (report.imported, report.skipped) == (1, {})
    assert Conversation.objects.get(owner=owner_of(web)).title == "海"


def test_a_document(web: Client) -> None:
    row = talk(owner_of(web), ("How <deep>?", "**Deep.**"), title="<The sea>")
    page = web.get(f"/c/{row.pk}/print/")
    assert "&lt;The sea&gt;" in page.text
    assert "How &lt;deep&gt;?" in page.text
    assert "<strong>Deep.</strong>" in page.text
    named = web.get(f"/c/{row.pk}/print/?model=<m>%0a%00")
    assert "Model at present: &lt;m&gt;" in named.text
    text = web.get(f"/c/{row.pk}/export/?format=md&model=<m>%0a%23").getvalue().decode()
    assert "Model at present: \\<m\\> \\#\n" in text


@pytest.mark.parametrize("what", ["export/?format=md", "export/?format=json", "print/", "share/"])
def test_others_have_no_part_in_it(web: Client, what: str) -> None:
    row = talk("visitor:else", ("a", "b"))
    assert web.get(f"/c/{row.pk}/{what}").status_code == 404
    own = talk(owner_of(web), ("a", "b"))
    leaf = row.responses.get().pk
    separator = "&" if "?" in what else "?"
    if "json" not in what:
        page = web.get(f"/c/{own.pk}/{what}{separator}leaf={leaf}")
        assert page.status_code == 404
        assert web.get(f"/c/{own.pk}/{what}{separator}leaf=x").status_code == 404


# --- links ---


def test_a_link_shows_what_was_there(web: Client) -> None:
    row = talk(owner_of(web), ("How deep?", "**Deep.**"))
    say(row, "Why?", "So.", reasoning="a secret thought")
    address = link_of(web, row)
    say(row, "Later?", "Later.")
    stranger = Client()
    page = stranger.get(address)
    assert page.status_code == 200
    for shown in ("The sea", "How deep?", "<strong>Deep.</strong>", "So."):
        assert shown in page.text
    for hidden in ("Later", "secret", owner_of(web), "/ws/", "chat.js", "csrf"):
        assert hidden not in page.text
    assert page.headers["X-Robots-Tag"] == "noindex, nofollow, noarchive"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert {"private", "no-store"} <= set(page.headers["Cache-Control"].split(", "))
    assert not stranger.cookies
    assert link_of(web, row) == address  # the same, with what is here now
    assert "Later." in stranger.get(address).text


def test_a_link_is_withdrawn(web: Client) -> None:
    row = talk(owner_of(web), ("a", "b"))
    address = link_of(web, row)
    stranger = Client()
    other = Client()
    other.get("/")
    assert other.post(f"/c/{row.pk}/share/withdraw/").status_code == 404
    share = Share.objects.get()
    assert other.post(f"/links/{share.pk}/withdraw/").status_code == 404
    assert stranger.get(address).status_code == 200
    assert web.post(f"/c/{row.pk}/share/withdraw/").status_code == 302
    gone = stranger.get(address)
    assert gone.status_code == 404
    assert "no-store" in gone.headers["Cache-Control"]
    assert gone.text == stranger.get("/s/never-was/").text
    assert link_of(web, row) != address
    assert address not in web.get("/accounts/").text
    share = Share.objects.get()
    assert f"/s/{share.token}/" in web.get("/accounts/").text
    assert web.post(f"/links/{share.pk}/withdraw/").status_code == 302
    assert not Share.objects.exists()


def test_a_link_ends_with_its_conversation_and_its_account(web: Client) -> None:
    row = talk(owner_of(web), ("a", "b"))
    address = link_of(web, row)
    web.post(f"/conversations/{row.pk}/delete/")
    assert Client().get(address).status_code == 404
    user = User.objects.create_user("ann", password="x")
    web.force_login(user)
    mine = Conversation.objects.create(owner=f"user:{user.pk}", user=user)
    say(mine, "a", "b")
    address = link_of(web, mine)
    assert "ann" not in Client().get(address).text
    link_of(web, mine, named="1")
    assert "Shared by ann" in Client().get(address).text
    old = timezone.now() - timedelta(days=9)
    user.delete()
    assert Client().get(address).status_code == 404
    other = talk("visitor:x", ("a", "b"))
    shares.share(other, [{"id": "x", "prompt": "a", "answer": "b", "model": ""}])
    Conversation.objects.filter(pk=other.pk).update(updated_at=old)
    before = timezone.now() - timedelta(days=5)
    assert sum(retention.prune(before), Counter())["streaming_share"] == 1
    assert not Share.objects.exists()


def test_a_visitors_links_become_the_accounts(web: Client) -> None:
    row = talk(owner_of(web), ("a", "b"))
    address = link_of(web, row)
    user = User.objects.create_user("ann", password="x")
    web.post("/accounts/login/", {"username": "ann", "password": "x"})
    assert address in web.get("/accounts/").text
    assert shares.of_owner(f"user:{user.pk}").count() == 1


def test_what_is_not_shared(web: Client) -> None:
    row = talk(owner_of(web))
    url = f"/c/{row.pk}/share/link/"
    assert web.post(url).status_code == 409
    say(row, "a", "", status=Status.IN_PROGRESS)
    assert web.post(url).status_code == 409  # it is not answered yet
    say(row, "x" * (shares.MOST_CHARS + 1), "b")
    refused = web.post(url, {"part": "dialog"})
    assert refused.status_code == 409
    assert "too long" in refused.json()["message"]
    assert not Share.objects.exists()


def test_bounds_of_links(web: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "MOST_LINKS", 1)
    monkeypatch.setattr(shares, "MOST_TURNS", 3)
    first = talk(owner_of(web), *[("a", "b")] * 3)
    link_of(web, first)
    link_of(web, first)
    second = talk(owner_of(web), ("a", "b"))
    assert web.post(f"/c/{second.pk}/share/link/").status_code == 409
    say(first, "a", "b")
    assert web.post(f"/c/{first.pk}/share/link/").status_code == 409


def test_a_long_copy_has_pages(web: Client) -> None:
    row = talk(owner_of(web), *((f"prompt {n}", "b") for n in range(60)))
    address = link_of(web, row)
    assert "prompt 49" in Client().get(address).text
    assert "prompt 50" not in Client().get(address).text
    assert "prompt 59" in Client().get(f"{address}?page=2").text
    assert Client().get(f"{address}?page=x").status_code == 200


def test_operators_close_links(web: Client, chatstream: Callable[..., None]) -> None:
    row = talk(owner_of(web), ("a", "b"))
    address = link_of(web, row)
    chatstream(sharing=False)
    assert Client().get(address).status_code == 404
    assert web.post(f"/c/{row.pk}/share/link/").status_code == 404
    assert "Make a link" not in web.get(f"/c/{row.pk}/share/").text
    assert "Markdown" in web.get(f"/c/{row.pk}/share/").text
    assert web.post(f"/c/{row.pk}/share/withdraw/").status_code == 302


def test_sites_without_visitors_share_with_everybody(
    web: Client, chatstream: Callable[..., None]
) -> None:
    row = talk(owner_of(web), ("a", "b"))
    address = link_of(web, row)
    chatstream(anonymous=False)
    assert Client().get(address).status_code == 200
    assert web.get(f"/c/{row.pk}/share/").status_code == 302


def test_operators_see_and_withdraw_links(web: Client, admin_client: Client) -> None:
    row = talk(owner_of(web), ("a", "b"))
    address = link_of(web, row)
    share = Share.objects.get()
    listed = admin_client.get("/admin/streaming/share/")
    assert row.owner in listed.text
    assert share.token not in listed.text
    assert address in admin_client.get(f"/admin/streaming/share/{share.pk}/change/").text
    fields = {"action": "withdraw", "_selected_action": [str(share.pk)]}
    assert admin_client.post("/admin/streaming/share/", fields, follow=True).status_code == 200
    assert Client().get(address).status_code == 404
    staff = User.objects.create_user("bob", is_staff=True)
    from django.contrib.auth.models import Permission

    staff.user_permissions.set(Permission.objects.filter(codename="view_share"))
    link_of(web, row)
    share = Share.objects.get()
    bob = Client()
    bob.force_login(staff)
    seen = bob.get(f"/admin/streaming/share/{share.pk}/change/")
    assert seen.status_code == 200
    assert share.token not in seen.text


def test_forms_bear_a_token(web: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.get("/")
    row = talk(owner_of(strict), ("a", "b"))
    for what in ("share/link/", "share/withdraw/"):
        assert strict.post(f"/c/{row.pk}/{what}").status_code == 403
    assert strict.post("/import/").status_code == 403


def test_what_is_no_token_is_not_looked_for(django_assert_num_queries: Any) -> None:
    """PostgreSQL refuses some of it with an error."""
    with django_assert_num_queries(0):
        for token in ("a\0b", "", "x" * 44, "é" * 32):
            assert shares.find(token) is None
