"""A typed client of `/ws/chat/` for asyncio programs. Needs websockets and pydantic, no Django.

    async with ChatClient("ws://127.0.0.1:8000/ws/chat/") as chat:
        answer = await chat.ask("What is the capital of France?")
        async for event in answer:
            ...
        print(answer.text)

An answer is also made of items, `answer.items`, as Open Responses has them: messages, thoughts and
calls of functions. `answer.result` is the whole response in the end.

It reconnects by itself when the connection breaks: as the same visitor, with each answer from where
it was read, and with each prompt that was not acknowledged sent again under its own id. So nothing
is generated twice, and no text is lost or repeated.
"""

from streaming.client.answer import Answer, AnswerEvent
from streaming.client.chat import ChatClient
from streaming.client.errors import ChatError
from streaming.client.sampling import Asking, Sampling
from streaming.protocol.items import FunctionCallItem, Item, MessageItem, ReasoningItem
from streaming.protocol.response_events import (
    ENDS,
    FunctionCallArgumentsDelta,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningTextDelta,
    RefusalDelta,
    ResponseCompleted,
    ResponseCreated,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInProgress,
    ResponseQueued,
    ResponseQueuePosition,
    ResponseUpdated,
)
from streaming.protocol.response_resource import ResponseResource
from streaming.protocol.server_events import QueueLoad, SessionCreated

__all__ = [
    "ENDS",
    "Answer",
    "AnswerEvent",
    "Asking",
    "ChatClient",
    "ChatError",
    "FunctionCallArgumentsDelta",
    "FunctionCallItem",
    "Item",
    "MessageItem",
    "OutputItemAdded",
    "OutputItemDone",
    "OutputTextDelta",
    "QueueLoad",
    "ReasoningItem",
    "ReasoningTextDelta",
    "RefusalDelta",
    "ResponseCompleted",
    "ResponseCreated",
    "ResponseFailed",
    "ResponseInProgress",
    "ResponseIncomplete",
    "ResponseQueuePosition",
    "ResponseQueued",
    "ResponseResource",
    "ResponseUpdated",
    "Sampling",
    "SessionCreated",
]
