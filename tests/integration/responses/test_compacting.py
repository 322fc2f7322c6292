"""`POST /v1/responses/compact`: what stands for a long conversation."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.api.responses import sealing
from streaming.models import Conversation, Response
from tests.integration.conftest import eventually
from tests.integration.http import call
from tests.integration.responses.asking import RESPONSES, create, get, post
from tests.support.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)


class SmallEngine(FakeEngine):
    """Has room for little, and writes down what it is asked."""

    @property
    def info(self) -> Any:
        return super().info.__class__("fake", "cpu", "float32", 500, self.max_running, 0)


async def compact(given: Any, *, key: str | None = None, **fields: Any) -> tuple[int, Any]:
    body = {"model": "default", "input": given, **fields}
    request, answer = await call("POST", f"{RESPONSES}/compact", body=body, key=key)
    return request.status, answer


def long_conversation(turns: int) -> list[dict[str, str]]:
    said = []
    for number in range(turns):
        said.append({"role": "user", "content": f"question {number} " + "x" * 80})
        said.append({"role": "assistant", "content": f"answer {number}"})
    return said


async def test_what_is_short_is_kept_word_by_word(start_worker: Any) -> None:
    engine = FakeEngine()
    await start_worker(engine)
    given = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The word is slate."},
        {"role": "assistant", "content": "OK."},
    ]
    status, compacted = await compact(given)
    assert status == 200, compacted
    assert compacted["usage"]["total_tokens"] == 0
    assert not await Response.objects.aexists()  # the model was asked nothing
    assert [item["type"] for item in compacted["output"]] == ["message", "compaction"]
    await create([*compacted["output"], {"role": "user", "content": "stop 1"}])
    row = await Response.objects.select_related("prompt__parent__parent__parent").aget()
    answer = row.prompt.parent
    assert answer is not None
    assert answer.content == "OK."
    assert answer.parent is not None
    assert answer.parent.content == "The word is slate."


async def test_what_does_not_fit_is_summarised_through_the_queue(start_worker: Any) -> None:
    engine = SmallEngine(step_seconds=0.0005)
    asked: list[str] = []
    submit = engine.submit

    def noting(request: Any) -> None:
        asked.append(request.messages[-1].content)
        submit(request)

    engine.submit = noting  # type: ignore[method-assign]
    await start_worker(engine)
    status, compacted = await compact(long_conversation(30))
    assert status == 200, compacted
    assert compacted["usage"]["output_tokens"] > 0
    assert len(asked) > 1
    assert "question 0" in asked[0]
    assert "Summary of what came before" in asked[1]
    assert not any("question 29" in each for each in asked)

    async def nothing_is_left() -> bool:
        return not await Conversation.objects.aexists()

    await eventually(nothing_is_left)
    await create([*compacted["output"], {"role": "user", "content": "stop 1"}])
    assert asked[-1] == "stop 1"


async def test_a_response_and_all_before_it_is_compacted(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    first = await create("stop 1")
    second = await create("stop 2", previous_response_id=first["id"])
    body = {"model": "default", "previous_response_id": second["id"]}
    request, compacted = await call("POST", f"{RESPONSES}/compact", body=body)
    assert request.status == 200, compacted
    response = await create([*compacted["output"], {"role": "user", "content": "stop 3"}])
    assert response["status"] == "completed"
    row = await Response.objects.select_related("prompt__parent").alast()
    assert row
    row = await Response.objects.select_related("prompt__parent").aget(prompt__content="stop 3")
    assert row.prompt.parent
    assert row.prompt.parent.content == "w0 w1 "
    _, page = await get(f"{response['id']}/input_items")
    assert [item["type"] for item in page["data"]] == ["message", "compaction"]
    sealed = page["data"][1]["encrypted_content"]
    assert sealed == compacted["output"][0]["encrypted_content"]


async def test_nobody_else_can_use_or_make_one(start_worker: Any, make_key: Any) -> None:
    await start_worker(FakeEngine())
    anna, ben = await make_key("anna"), await make_key("ben")
    _, compacted = await compact("Secret.", key=anna)
    [item] = compacted["output"]
    assert "Secret" not in str(compacted)
    follow = {"role": "user", "content": "stop 1"}
    assert (await post([item, follow], key=anna))[0].status == 200
    forged = [
        item,  # another's
        {**item, "encrypted_content": item["encrypted_content"][:-8] + "AAAAAAA="},
        {**item, "encrypted_content": "gAAAA"},
        {**item, "encrypted_content": "\N{SNOWMAN}"},
        {**item, "encrypted_content": sealing.seal("reasoning", "user:1", "thought")},
    ]
    for each in forged:
        request, answer = await post([each, follow], key=ben)
        error = answer["error"]
        assert (request.status, error["code"]) == (400, "invalid_encrypted_content")
        assert error["param"] == "input.0.encrypted_content"


def test_a_former_key_of_the_site_still_opens(settings: Any) -> None:
    sealed = sealing.seal("compaction", "user:1", ["a"])
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 8
    assert sealing.opened("compaction", "user:1", sealed) == ["a"]
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(sealing.Unreadable):
        sealing.opened("compaction", "user:1", sealed)


async def test_what_cannot_be_compacted_is_named(start_worker: Any) -> None:
    await start_worker(FakeEngine())
    for fields, param in (
        ({}, "input"),
        ({"input": []}, "input"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0.id"),
        ({"input": "x", "prompt_cache_key": "k" * 65}, "prompt_cache_key"),
    ):
        body = {"model": "default", **fields}
        request, answer = await call("POST", f"{RESPONSES}/compact", body=body)
        assert (request.status, answer["error"]["param"]) != (200, None)
        assert answer["error"]["param"] == param, answer
