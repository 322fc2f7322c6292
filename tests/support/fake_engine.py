"""An engine whose tokens are known in advance: one word per step for each running response."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streaming.engine.base import (
    Channel,
    Engine,
    EngineError,
    EngineStats,
    EventSink,
    Finished,
    FinishReason,
    GenerationRequest,
    ModelInfo,
    PassedDelta,
    Started,
    StepRecord,
    TextDelta,
    context_exceeded,
)

THOUGHT = "t{number} "
"""A word of the fake's thought."""

SAID = 7
"""Characters of a `say` prompt's text in one token."""


def words(count: int) -> list[str]:
    """The fake's answer: `w0 w1 w2 ...`."""
    return [f"w{number} " for number in range(count)]


def thoughts(count: int) -> str:
    """The fake's thought of so many tokens: `t0 t1 t2 ...`."""
    return "".join(THOUGHT.format(number=number) for number in range(count))


def pieces(text: str) -> list[str]:
    return [text[at : at + SAID] for at in range(0, len(text), SAID)]


def played(script: str) -> list[tuple[str, Any]]:
    """The tokens of a `play` prompt: each a kind, and a text or the part of a call."""
    tokens: list[tuple[str, Any]] = []
    index = 0
    for kind, *said in json.loads(script):
        if kind != "call":
            tokens += [(kind, piece) for piece in pieces(said[0])]
            continue
        name, arguments = said
        begun = {"index": index, "id": f"call_{index}", "type": "function"}
        tokens.append((kind, begun | {"function": {"name": name}}))
        tokens += [
            (kind, {"index": index, "function": {"arguments": piece}})
            for piece in pieces(arguments)
        ]
        index += 1
    return tokens


@dataclass
class _Row:
    """`prompt`: what it is told to say. `thought`: of its tokens so many are thought first, from
    word number `begun` on. `done`: tokens so far, of earlier attempts, too."""

    request: GenerationRequest
    done: int = 0
    started: bool = False
    prompt: str = ""
    thought: int = 0
    begun: int = 0

    def __post_init__(self) -> None:
        *_, last = messages = self.request.messages
        self.prompt = last.content
        if last.role == "assistant" and last.reasoning and not last.content:
            self.prompt, self.begun = messages[-2].content, len(last.reasoning.split())
        command, _, rest = self.prompt.partition(" ")
        if command == "think":
            number, _, self.prompt = rest.partition(" ")
            thinking = self.request.thinking
            most = min(int(number), thinking.max_tokens or int(number))
            self.thought = 0 if thinking.effort == "off" else max(0, most - self.begun)

    @property
    def words(self) -> int:
        """Those of the answer so far."""
        return max(0, self.done - self.thought)

    @property
    def is_to_hang(self) -> bool:
        command, _, number = self.prompt.partition(" ")
        hangs = command == "poison" or (command == "hang" and not self.request.prior_tokens)
        return hangs and self.done >= int(number)


@dataclass
class FakeEngine(Engine):
    """Says `max_tokens` words; a prompt `stop N` stops after N, `fail N` fails after N, and
    `say TEXT` streams the text in small pieces and stops. An answer to be continued goes on
    with words, whatever it began with. `hang N`: after N words the step does not return, unless
    it goes on with an earlier attempt; `poison N`: even then. `return_` ends that for good.

    `play SCRIPT` says a JSON list of ["reasoning" | "text" | "refusal", text] and of
    ["call", name, arguments] in its order, whether or not any tools were offered.

    `think N` before any of these, as in `think 5 stop 3`, has it think N words first, as far as
    `thinking.max_tokens` lets it and `thinking.effort` is not off; alone, more words follow.
    One that was cut in its thought goes on in it, counted by its words."""

    max_running: int = 2
    step_seconds: float = 0.01
    load_error: str = ""
    rows: dict[str, _Row] = field(default_factory=dict)
    steps: list[StepRecord] = field(default_factory=list)
    most_running: int = 0
    kept_prefixes: int = 0
    thinks: bool = False
    completes_text: bool = True
    sees: bool = False
    context_chars: int = 0
    """Of a conversation that fits, 0 for any; of a longer one all but the last message is left
    out, where that is allowed."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._turns = 0
        self._hangs = False
        self._returned = threading.Event()
        self._unheeded: list[str] = []

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            "fake", "cpu", "float32", 4096, self.max_running, 0, thinks=self.thinks,
            completes_text=self.completes_text, takes_images=self.sees,
        )  # fmt: skip

    @property
    def cached_prefix_capacity(self) -> int:
        return self.kept_prefixes

    def start(self, sink: EventSink) -> None:
        if self.load_error:
            raise EngineError(self.load_error)
        self._sink = sink
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, request: GenerationRequest) -> None:
        with self._lock:
            self.rows[request.response_id] = _Row(request, done=len(request.prior_tokens))
            self.most_running = max(self.most_running, len(self.rows))

    def cancel(self, response_id: str) -> None:
        with self._lock:
            if self._hangs:
                self._unheeded.append(response_id)
                return
            row = self.rows.pop(response_id, None)
        if row:
            self._sink([self._finished(row, FinishReason.CANCELLED)])

    def stats(self) -> EngineStats:
        free = self.max_running - len(self.rows)
        alive = self._thread is not None and self._thread.is_alive()
        return EngineStats(
            len(self.rows), 0, free, len(self.steps), 0, alive,
            at_work=alive and (bool(self.rows) or self._hangs),
            progress=self._turns,
            thread_id=(alive and self._thread and self._thread.ident) or 0,
        )  # fmt: skip

    def recent_steps(self) -> list[StepRecord]:
        return list(self.steps)

    def close(self, timeout: float = 10.0) -> None:
        self._closing.set()
        if self._thread:
            self._thread.join(timeout)

    def return_(self) -> None:
        """Let a step that hangs return, and none hang any more."""
        self._returned.set()

    def _hang(self) -> None:
        self._returned.wait()

    @property
    def _is_to_hang(self) -> bool:
        asked = any(row.is_to_hang for row in self.rows.values())
        return asked and not self._returned.is_set()

    def _hang_if_asked(self) -> None:
        with self._lock:
            self._hangs = self._is_to_hang
        if self._hangs:
            self._hang()
            with self._lock:
                self._hangs = False
            for response_id in self._unheeded:
                self.cancel(response_id)
            self._unheeded.clear()

    def die(self) -> None:
        """End the thread as a bug would."""
        self._closing.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            time.sleep(self.step_seconds)
            self._turns += 1
            self._hang_if_asked()
            with self._lock:
                events = [event for row in list(self.rows.values()) for event in self._step(row)]
                if self.rows:
                    self.steps.append(StepRecord(len(self.steps), tuple(self.rows)))
                    self._stepped()
                for event in events:
                    if isinstance(event, Finished):
                        del self.rows[event.response_id]
                self._hangs = self._is_to_hang  # who has read this step's word cancels in vain
            if events:
                self._sink(events)

    def _stepped(self) -> None:
        """A step was taken by all of `rows`."""

    def _step(self, row: _Row):  # type: ignore[no-untyped-def]
        request = row.request
        if not row.started:
            row.started = True
            trimmed = len(request.messages) - 1 if self._is_too_long(request) else 0
            if trimmed and not getattr(request, "trims", True):
                error = context_exceeded(self.context_chars, self._chars(request))
                yield Finished(
                    request.response_id,
                    FinishReason.ERROR,
                    error_code=error.code,
                    error_message=str(error),
                )
                return
            yield Started(request.response_id, len(request.messages), trimmed)
            return
        command, _, argument = row.prompt.partition(" ")
        if command == "play":
            yield from self._play(row, played(argument))
            return
        end = self._end(row)
        said = pieces(argument)
        if row.done < row.thought:
            text = THOUGHT.format(number=row.begun + row.done)
            row.done += 1
            yield TextDelta(request.response_id, text, (row.done - 1,), Channel.REASONING)
        elif row.words < end:
            text = said[row.words] if command == "say" else words(row.words + 1)[-1]
            row.done += 1
            yield TextDelta(request.response_id, text, (row.done - 1,))
        if row.done >= row.thought and row.words >= end:
            reasons = {"stop": FinishReason.STOP, "fail": FinishReason.ERROR}
            if command == "say" and end == len(said):
                reasons["say"] = FinishReason.STOP
            reason = reasons.get(command, FinishReason.LENGTH)
            yield self._finished(row, reason)

    def _play(self, row: _Row, tokens: list[tuple[str, Any]]):  # type: ignore[no-untyped-def]
        key = row.request.response_id
        if row.done < len(tokens):
            kind, said = tokens[row.done]
            row.done += 1
            token = (row.done - 1,)
            match kind:
                case "reasoning" | "text":
                    yield TextDelta(key, said, token, Channel(kind))
                case "refusal":
                    yield PassedDelta(key, {"refusal": said}, token)
                case _:
                    yield PassedDelta(key, {"tool_calls": [said]}, token)
        if row.done >= len(tokens):
            has_calls = any(kind == "call" for kind, _ in tokens)
            yield self._finished(row, FinishReason.TOOL_CALLS if has_calls else FinishReason.STOP)

    def _is_too_long(self, request: GenerationRequest) -> bool:
        return 0 < self.context_chars < self._chars(request)

    def _chars(self, request: GenerationRequest) -> int:
        return sum(len(message.content) for message in request.messages)

    def _end(self, row: _Row) -> int:
        """How many words the answer will have, those of its thought apart."""
        command, _, argument = row.prompt.partition(" ")
        most = row.request.params.max_tokens
        if command in ("stop", "fail"):
            return int(argument)
        return min(most, len(pieces(argument))) if command == "say" else most

    def _finished(self, row: _Row, reason: FinishReason) -> Finished:
        failed = reason is FinishReason.ERROR
        return Finished(
            row.request.response_id,
            reason,
            prompt_tokens=len(row.request.messages),
            completion_tokens=row.done,
            reasoning_tokens=min(row.done, row.thought),
            error_code="engine_error" if failed else "",
            error_message="The fake engine failed as asked." if failed else "",
        )


class ProcessEngine(FakeEngine):
    """The fake as `CHATSTREAM_ENGINE=tests.support.fake_engine.ProcessEngine` for real processes.

    `FAKE_STEPS` names a folder: each step's moment and ids go to a file of this process in it,
    which survives any kill. A prompt `die N` ends the engine's thread after N words, as a bug
    would; resumed elsewhere, it goes on. With `FAKE_CANCEL_SECONDS` a cancelled response says
    more for so long, as in a long step of a big model. `FAKE_GATE` names a file: before it is
    there, no answer says its last word. `FAKE_PREFIXES`: it says it keeps so many prompts.
    `FAKE_HANG`: `start` or `close`, which then does not return. A prompt `block` hangs `submit`,
    which the event loop calls. `FAKE_RETURN` names a file: when it is there, hung steps return.
    `FAKE_LOAD` names a file: before it is there, the model is being loaded.
    `FAKE_THINKS`: it says that it thinks. `FAKE_SEES`: it says that it takes images.
    `FAKE_HANGS` names a folder: once there is a file `<pid>` in it, no step returns.
    """

    def __init__(self, model: str | None, *, max_running: int, **arguments: object) -> None:
        seconds = float(os.environ.get("FAKE_STEP_SECONDS", "0.02"))
        prefixes = int(os.environ.get("FAKE_PREFIXES", "0"))
        thinks = bool(os.environ.get("FAKE_THINKS"))
        super().__init__(max_running, seconds, kept_prefixes=prefixes, thinks=thinks)
        self.sees = bool(os.environ.get("FAKE_SEES"))
        self._cancel_seconds = float(os.environ.get("FAKE_CANCEL_SECONDS", "0"))
        self._gate = Path(gate) if (gate := os.environ.get("FAKE_GATE")) else None
        self._return = Path(path) if (path := os.environ.get("FAKE_RETURN")) else None
        self._hung = Path(os.environ.get("FAKE_HANGS", os.devnull)) / str(os.getpid())
        self._log: int | None = None
        if folder := os.environ.get("FAKE_STEPS"):
            path = Path(folder) / f"{os.getpid()}.steps"
            self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def start(self, sink: EventSink) -> None:
        super().start(sink)
        self._never_return("start")
        while (path := os.environ.get("FAKE_LOAD")) and not Path(path).exists():
            time.sleep(0.02)

    def close(self, timeout: float = 10.0) -> None:
        super().close(timeout)
        self._never_return("close")

    def _never_return(self, what: str) -> None:
        while os.environ.get("FAKE_HANG") == what:
            time.sleep(0.1)

    def _hang(self) -> None:
        while not (self._return and self._return.exists()):
            time.sleep(0.02)
        self.return_()

    def _hang_if_asked(self) -> None:
        if self._hung.exists():
            with self._lock:
                self._hangs = True
            self._hang()
        super()._hang_if_asked()

    def submit(self, request: GenerationRequest) -> None:
        while request.messages[-1].content == "block":
            time.sleep(0.1)
        if request.response_id in self.rows:
            raise EngineError(f"Response {request.response_id} is already open.", "duplicate")
        super().submit(request)

    def cancel(self, response_id: str) -> None:
        if self._cancel_seconds:
            threading.Timer(self._cancel_seconds, super().cancel, [response_id]).start()
        else:
            super().cancel(response_id)

    def _step(self, row: _Row):  # type: ignore[no-untyped-def]
        command, _, number = row.prompt.partition(" ")
        if command == "die" and not row.request.prior_tokens and row.done >= int(number):
            self.die()
        if self._gate and row.done == row.thought + self._end(row) - 1 and not self._gate.exists():
            return
        yield from super()._step(row)

    def _run(self) -> None:
        super()._run()
        if self._log is not None:
            os.close(self._log)

    def _stepped(self) -> None:
        if self._log is not None:
            with contextlib.suppress(OSError):  # a full disk is the server's affair
                os.write(self._log, f"{time.time():.3f} {' '.join(self.rows)}\n".encode())
