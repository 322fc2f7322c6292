"""A conversation on a terminal: positions, dimmed reasoning, and Markdown while it streams."""

from __future__ import annotations

import contextlib
import queue
import re
import select
import sys
import time
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from streaming.client import (
    ENDS,
    ChatError,
    FunctionCallItem,
    OutputItemDone,
    OutputTextDelta,
    ReasoningTextDelta,
    RefusalDelta,
    ResponseInProgress,
    ResponseQueued,
    ResponseQueuePosition,
)
from streaming.terminal import words
from streaming.terminal.last_lines import LastLines
from streaming.terminal.markdown import TerminalMarkdown
from streaming.terminal.session import Exchange, News, Session, Signal
from streaming.terminal.visible import visible

REFRESH_SECONDS = 1 / 8
_COUNTDOWN_SECONDS = 0.5
_PASTE_SECONDS = 0.05
HELP = """\
/new   begin a new conversation
/model what is known of the model
/help  this
/quit  leave (or Ctrl-D)
/instructions TEXT sets what answers are to keep to, from the next prompt on; without a text it is
shown, and `none` takes it away.
Ctrl-C stops an answer; pressed twice it leaves. Several lines may be pasted at once."""


class Bottom:
    """The last `height` lines of a renderable."""

    def __init__(self, whole: RenderableType, height: int) -> None:
        self._whole = whole
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._whole, options.update(height=None), pad=False)
        for line in lines[-self._height :]:
            yield from line
            yield Segment.line()


class View:
    """One answer on the screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._parts: list[str] = []
        self._tail = LastLines(console.height, console.width)
        self._thought: list[str] = []
        self._thought_tail = LastLines(console.height, console.width)
        self._refusal: list[str] = []
        self._calls: list[FunctionCallItem] = []
        self._place: ResponseQueued | ResponseQueuePosition | None = None
        self._told_at = 0.0
        self._note = "Sending ..."
        self._refreshed_at = 0.0
        self._has_news = True

    def show(self, exchange: Exchange) -> None:
        """Show an exchange until it ends. Raises KeyboardInterrupt if it is interrupted twice."""
        end: News = Signal.END
        live = Live(console=self._console, auto_refresh=False, transient=True)
        with exchange.stoppable(), live:
            for news in self._news(exchange, live):
                self._take(news)
                if isinstance(news, ENDS | ChatError):
                    end = news
        self._conclude(end, exchange.was_stopped)

    def _news(self, exchange: Exchange, live: Live) -> Iterator[News]:
        """Yield the news, and refresh the screen between them, at most every REFRESH_SECONDS."""
        while True:
            self._refresh(live)
            wait = self._refreshed_at + REFRESH_SECONDS - time.monotonic()
            with contextlib.suppress(queue.Empty):
                news = exchange.news.get(timeout=max(0.01, wait))
                while news is not Signal.END:
                    yield news
                    news = exchange.news.get_nowait()
                return

    def _take(self, news: News) -> None:
        self._has_news = True
        if isinstance(news, OutputTextDelta):
            text = visible(news.delta)
            self._parts.append(text)
            self._tail.add(text)
        elif isinstance(news, ReasoningTextDelta):
            text = visible(news.delta)
            self._thought.append(text)
            self._thought_tail.add(text)
        elif isinstance(news, RefusalDelta):
            self._refusal.append(visible(news.delta))
        elif isinstance(news, OutputItemDone) and isinstance(news.item, FunctionCallItem):
            self._calls.append(news.item)
        elif isinstance(news, ResponseInProgress):
            for said in (self._parts, self._thought, self._refusal, self._calls):
                said.clear()
            for tail in (self._tail, self._thought_tail):
                tail.clear()
            self._place, self._note = None, "Reading your prompt ..."
        elif isinstance(news, ResponseQueued | ResponseQueuePosition):
            self._place, self._told_at, self._note = news, time.monotonic(), ""
        elif news is Signal.STOP:
            self._note = "Stopping ..."
        elif news is Signal.AWAY:
            self._note = "The connection is lost; trying again."
        elif news is Signal.BACK:
            self._note = ""

    def _refresh(self, live: Live) -> None:
        now = time.monotonic()
        wait = REFRESH_SECONDS if self._has_news else _COUNTDOWN_SECONDS
        says = bool(self._parts or self._thought)
        if now - self._refreshed_at < wait or (says and not self._has_news):
            return
        self._refreshed_at, self._has_news = now, False
        note = self._note
        if self._place and not note:
            note = words.of_place(self._place, now - self._told_at)
        shown: RenderableType = Text(note, style="dim")
        if self._parts:
            shown = TerminalMarkdown(str(self._tail), hyperlinks=False)
        elif self._thought:
            shown = Text(str(self._thought_tail), style="dim")
        live.update(Bottom(shown, max(1, self._console.height - 2)), refresh=True)

    def _conclude(self, end: News, stopped: bool) -> None:
        text, thought = "".join(self._parts), "".join(self._thought).strip()
        if thought:
            self._say(thought)
            if isinstance(end, ENDS):
                timings = end.response.chatstream.timings
                self._say(words.of_thought((timings and timings.reasoning_ms) or 0))
            self._console.print()
        if text.strip():
            self._console.print(TerminalMarkdown(text, hyperlinks=False))
        if self._refusal:
            self._console.print(Text(words.of_refusal("".join(self._refusal))))
        for call in self._calls:
            self._console.print(Text(words.of_call(call)))
        if isinstance(end, ENDS):
            if said := words.of_end(end.response, stopped=stopped):
                self._say(said)
        elif isinstance(end, ChatError):
            self._say(words.of_error(end))
        elif stopped:
            self._say("Stopped.")

    def _say(self, text: str) -> None:
        self._console.print(Text(text, style="dim"))


class Screen:
    """The dialogue: reads prompts and shows their answers until somebody leaves."""

    def __init__(self, session: Session, console: Console) -> None:
        self._session = session
        self._console = console
        self._interrupts = 0
        self._announced: int | None = None

    def run(self) -> None:
        """Greet, then read prompts and show answers until Ctrl-D or two interrupts."""
        greeting = self._session.chat.session
        name = greeting.model if greeting and greeting.model else "ChatStream"
        self._note(f"{visible(name)}. /help says what there is, Ctrl-D leaves.")
        if greeting and (service := words.of_service(greeting.service)):
            self._note(service.partition(";")[0] + ".")
        elif greeting and greeting.load and (load := words.of_load(greeting.load)):
            self._note(load)
        while self._interrupts < 2:
            self._tell_announcement()
            try:
                prompt = self._read_prompt()
            except EOFError:
                self._console.print()
                return
            except KeyboardInterrupt:
                self._interrupts += 1
                self._console.print()
                if self._interrupts < 2:
                    self._note("Ctrl-C once more, or Ctrl-D, leaves.")
                continue
            if not self._obey(prompt):
                return

    def _obey(self, prompt: str) -> bool:
        """Run a command or ask a prompt; return whether to continue."""
        command = prompt.strip()
        if command == "/quit":
            return False
        if command == "/new":
            self._session.begin_anew()
            self._note("A new conversation.")
        elif command == "/help":
            self._note(HELP)
        elif command == "/model":
            self._note(words.of_model(self._session.chat.session))
        elif re.match(r"/instructions(\s|$)", command):
            self._instruct(command.removeprefix("/instructions").strip())
        elif re.fullmatch(r"/[a-z]+", command):
            self._note(f"There is no {command}; /help says what there is.")
        elif command:
            self._ask(prompt)
        return True

    def _instruct(self, text: str) -> None:
        """Set the conversation's instructions, or show them if there is no text."""
        if text:
            self._session.instruct("" if text == "none" else text)
        self._note(words.of_instructions(self._session.instructions))

    def _ask(self, prompt: str) -> None:
        self._interrupts = 0
        exchange = self._session.ask(prompt)
        try:
            View(self._console).show(exchange)
        except KeyboardInterrupt:
            self._interrupts = 2
        else:
            self._interrupts = int(exchange.was_stopped)

    def _read_prompt(self) -> str:
        """Return a line, and all further lines that were pasted with it."""
        lines = [input("> ")]
        while select.select([sys.stdin], [], [], _PASTE_SECONDS)[0]:
            try:
                lines.append(input())
            except EOFError:
                break
        return "\n".join(lines)

    def _tell_announcement(self) -> None:
        """Say what an operator tells all users, once."""
        session = self._session.chat.session
        told = session.announcement if session else None
        if told and told.id != self._announced:
            self._console.print(Text(visible(told.text), style="bold"))
        self._announced = told.id if told else None

    def _note(self, text: str) -> None:
        self._console.print(Text(text, style="dim"))
