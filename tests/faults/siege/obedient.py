"""The default model, but for prompts that begin with `say `: those it obeys to the letter."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from streaming.engine.base import (
    EventSink,
    Finished,
    FinishReason,
    GenerationRequest,
    Started,
    TextDelta,
)
from streaming.engine.local import LocalEngine

_ORDER = "say "
_PIECE_CHARS, _PIECE_SECONDS = 25, 0.03  # a fast model


class ObedientEngine(LocalEngine):
    """What a larger model does that is asked to repeat something. The small one does not."""

    _said: EventSink

    def start(self, sink: EventSink) -> None:
        self._said = sink
        self._stops: dict[str, threading.Event] = {}
        super().start(sink)

    def submit(self, request: GenerationRequest) -> None:
        text = request.messages[-1].content
        if not text.startswith(_ORDER):
            super().submit(request)
            return
        stop = self._stops[request.response_id] = threading.Event()
        arguments = (request, text.removeprefix(_ORDER), stop)
        threading.Thread(target=self._obey, args=arguments, daemon=True).start()

    def cancel(self, response_id: str) -> None:
        if stop := self._stops.get(response_id):
            stop.set()
        else:
            super().cancel(response_id)

    def _obey(self, request: GenerationRequest, text: str, stop: threading.Event) -> None:
        name, reason, number = request.response_id, FinishReason.STOP, 0
        self._said([Started(name, 1)])
        for number, piece in enumerate(_pieces(text), 1):
            if number > len(request.prior_tokens):
                if stop.wait(_PIECE_SECONDS):
                    reason = FinishReason.CANCELLED
                    break
                self._said([TextDelta(name, piece, (number,))])
        del self._stops[name]
        self._said([Finished(name, reason, 1, number)])


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE_CHARS):
        yield text[start : start + _PIECE_CHARS]
