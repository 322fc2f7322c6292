"""`/v1/conversations`: made, read page by page, added to, and taken out of again."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.models import Conversation, Message
from tests.integration.http import call

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/v1/conversations"


def said(text: str, role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text}


async def made(**body: Any) -> str:
    request, answer = await call("POST", PATH, body=body)
    assert request.status == 200, answer
    conversation_id: str = answer["id"]
    return conversation_id


async def listed(conversation_id: str, query: str = "") -> Any:
    request, answer = await call("GET", f"{PATH}/{conversation_id}/items{query}")
    assert request.status == 200, answer
    return answer


def texts(page: Any) -> list[str]:
    return [item["content"][0]["text"] for item in page["data"]]


async def test_a_conversation_is_made_changed_and_deleted() -> None:
    request, answer = await call("POST", PATH, body={"metadata": {"topic": "demo"}})
    assert request.status == 200
    assert answer["object"] == "conversation"
    assert answer["id"].startswith("conv_")
    assert answer["metadata"] == {"topic": "demo"}
    one = f"{PATH}/{answer['id']}"
    assert (await call("GET", one))[1] == answer
    changed = (await call("POST", one, body={"metadata": {"topic": "other"}}))[1]
    assert changed == {**answer, "metadata": {"topic": "other"}}
    assert (await call("POST", one, body={"metadata": None}))[1]["metadata"] == {}
    request, gone = await call("DELETE", one)
    assert gone == {"id": answer["id"], "object": "conversation.deleted", "deleted": True}
    for method in ("GET", "DELETE"):
        request, error = await call(method, one)
        assert (request.status, error["error"]["code"]) == (404, "conversation_not_found")
    assert not await Conversation.objects.aexists()


async def test_items_are_listed_page_by_page() -> None:
    conversation_id = await made(items=[said(f"turn {n}") for n in range(5)])
    page = await listed(conversation_id, "?limit=2")
    assert texts(page) == ["turn 4", "turn 3"]
    assert (page["has_more"], page["last_id"]) == (True, page["data"][1]["id"])
    page = await listed(conversation_id, f"?limit=2&after={page['last_id']}")
    assert texts(page) == ["turn 2", "turn 1"]
    page = await listed(conversation_id, f"?limit=2&after={page['last_id']}")
    assert (texts(page), page["has_more"]) == (["turn 0"], False)
    page = await listed(conversation_id, "?order=asc&limit=3")
    assert texts(page) == ["turn 0", "turn 1", "turn 2"]
    page = await listed(conversation_id, f"?order=asc&after={page['last_id']}")
    assert (texts(page), page["has_more"]) == (["turn 3", "turn 4"], False)
    empty = await listed(await made())
    assert empty == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


async def test_items_are_added_read_and_taken_out(layer: Any, chatstream: Any) -> None:
    chatstream(upstream_url="http://127.0.0.1:9/v1")  # which takes tools
    conversation_id = await made(items=[said("first")])
    items = f"{PATH}/{conversation_id}/items"
    calls = [
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "seen"},
        said("Seen.", "assistant"),
    ]
    request, added = await call("POST", items, body={"items": calls})
    assert request.status == 200, added
    kinds = [item["type"] for item in added["data"]]
    assert kinds == ["function_call", "function_call_output", "message"]
    page = await listed(conversation_id, "?order=asc")
    assert page["data"][1:] == added["data"]
    for item in page["data"]:
        assert (await call("GET", f"{items}/{item['id']}"))[1] == item
    request, whole = await call("DELETE", f"{items}/{page['data'][1]['id']}")
    assert (request.status, whole["object"]) == (200, "conversation")
    request, _ = await call("DELETE", f"{items}/{page['data'][3]['id']}")
    left = await listed(conversation_id, "?order=asc")
    assert left["data"] == [page["data"][0], page["data"][2]]
    request, more = await call("POST", items, body={"items": [said("last")]})
    assert (await listed(conversation_id, "?limit=1"))["data"] == more["data"]
    request, error = await call("GET", f"{items}/{page['data'][1]['id']}")
    assert (request.status, error["error"]["code"]) == (404, "item_not_found")
    assert await Message.objects.acount() == 3


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("", {"items": [said("x")] * 21}, 400, "items"),
        ("", {"metadata": {"k": "v" * 513}}, 400, "metadata.k"),
        ("", {"metadata": {str(n): "v" for n in range(17)}}, 400, "metadata"),
        ("", {"metadata": "none"}, 400, "metadata"),
        ("", {"items": [{"type": "web_search_call"}]}, 400, "items.0.type"),
        ("/{id}/items", {"items": []}, 400, "items"),
        ("/{id}/items", {}, 400, "items"),
        ("/{id}", {}, 400, "metadata"),
        ("/{id}/items?limit=0", None, 400, "limit"),
        ("/{id}/items?limit=101", None, 400, "limit"),
        ("/{id}/items?order=up", None, 400, "order"),
        ("/{id}/items?after=msg_1", None, 400, "after"),
        ("/{id}/items/nothing", None, 404, "item_id"),
        ("/conv_1", None, 404, "conversation"),
        ("/conv_1/items", None, 404, "conversation"),
    ],
)
async def test_what_is_wrong_is_named(path: str, body: Any, status: int, param: str | None) -> None:
    conversation_id = await made(items=[said("first")])
    method = "GET" if body is None else "POST"
    request, error = await call(method, PATH + path.format(id=conversation_id), body=body)
    assert (request.status, error["error"]["param"]) == (status, param), error
