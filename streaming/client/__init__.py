"""A typed client of `/ws/chat/` for asyncio programs. Needs websockets and pydantic, no Django.

    async with ChatClient("ws://127.0.0.1:8000/ws/chat/") as chat:
        answer = await chat.ask("What is the capital of France?")
        async for event in answer:
            ...
        print(answer.text)

It reconnects by itself when the connection breaks: as the same visitor, with each answer from where
it was read, and with each prompt that was not acknowledged sent again under its own id. So nothing
is generated twice, and no text is lost or repeated.
"""

from streaming.client.answer import Answer, AnswerEvent
from streaming.client.chat import ChatClient
from streaming.client.errors import ChatError
from streaming.client.sampling import Asking, Sampling
from streaming.protocol.server_events import (
    OutputTextDelta,
    QueueLoad,
    ReasoningTextDelta,
    ResponseDone,
    ResponseInProgress,
    ResponseQueued,
    ResponseQueuePosition,
    ResponseUpdated,
    SessionCreated,
)

__all__ = [
    "Answer",
    "AnswerEvent",
    "Asking",
    "ChatClient",
    "ChatError",
    "OutputTextDelta",
    "QueueLoad",
    "ReasoningTextDelta",
    "ResponseDone",
    "ResponseInProgress",
    "ResponseQueuePosition",
    "ResponseQueued",
    "ResponseUpdated",
    "Sampling",
    "SessionCreated",
]
