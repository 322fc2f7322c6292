"""What the client of one chat socket asks of responses."""

from __future__ import annotations

from channels.layers import BaseChannelLayer

from streaming.lifecycle import accepting, ending, params
from streaming.protocol.client_events import (
    ResponseCancel,
    ResponseCreate,
    ResponseResume,
    ResponseUpdate,
)
from streaming.protocol.response_events import ResponseUpdated
from streaming.record import edits
from streaming.sockets.asked_tasks import check_prompt, task_of
from streaming.sockets.client_identity import ClientIdentity
from streaming.sockets.reader import SocketReader
from streaming.sockets.refusals import translated
from streaming.sockets.response_views import ResponseViews
from streaming.sockets.shielded import shielded
from streaming.sockets.socket_writer import SocketWriter
from streaming.waiting_list.serving import model_details

ResponseRequest = ResponseCreate | ResponseUpdate | ResponseCancel | ResponseResume


class ResponseRequests:
    """Creates, edits, cancels and resumes the responses of one client."""

    def __init__(
        self,
        layer: BaseChannelLayer,
        identity: ClientIdentity,
        views: ResponseViews,
        writer: SocketWriter,
    ) -> None:
        self._layer = layer
        self._identity = identity
        self._views = views
        self._writer = writer

    async def handle(self, event: ResponseRequest) -> None:
        """Do what an event asks for. Raises ProtocolError."""
        with translated():
            match event:
                case ResponseCreate():
                    await shielded(self.create(event))
                case ResponseUpdate():
                    await shielded(self.update(event))
                case ResponseCancel():
                    await shielded(self.cancel(event))
                case ResponseResume():
                    await self.resume(event)

    async def create(self, event: ResponseCreate) -> None:
        """Accept a response and show it."""
        details = await model_details(self._layer)
        client = self._identity
        task = await task_of(event, details, client.requester)
        async with self._reader(is_asked=True) as reader:
            await accepting.accept(
                self._layer,
                task,
                params=params.resolve(event.params, details),
                requester=client.requester,
                reader=reader,
                response_id=event.response_id,
            )

    async def update(self, event: ResponseUpdate) -> None:
        """Edit the prompt of a waiting response."""
        check_prompt(event.input)
        await edits.edit_prompt(event.response_id, self._identity.owner, event.input)
        updated = ResponseUpdated(response_id=event.response_id, input=event.input)
        await self._writer.send_event(updated)

    async def cancel(self, event: ResponseCancel) -> None:
        """End a response."""
        await ending.cancel(self._layer, str(event.response_id), self._identity.owner)

    async def resume(self, event: ResponseResume) -> None:
        """Show a response again, from one of its events on."""
        async with self._reader(after=event.starting_after) as reader:
            await accepting.resume(self._layer, event.response_id, self._identity.owner, reader)

    def _reader(self, *, is_asked: bool = False, after: int = 0) -> SocketReader:
        return SocketReader(self._layer, self._views, self._writer, is_asked=is_asked, after=after)
