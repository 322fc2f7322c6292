"""What the page needs of a stored conversation: the turns of one path through its tree.

The words that describe a turn (how it ended, how long it took) are the page's own: `words.js`
makes them from the fields given here, for stored turns as for those that it saw happen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import F, Q
from django.utils.safestring import SafeString

from streaming import markup
from streaming.models import OPEN, TERMINAL, Conversation, Message, Response, Status
from streaming.pages import thread
from streaming.pages.calls import Call, TurnCalls, calls_of, refusal_of
from streaming.pages.thoughts import thought_of
from streaming.record.attachments import Attachment, attachments, typed_text
from streaming.record.conversations import newest_first
from streaming.record.durations import total_ms
from streaming.record.histories import prefix_of

WINDOW = 20
"""So many turns are shown at a time; earlier ones on demand."""

MOST_SHOWN = 10 * WINDOW
"""So many are shown at most, where an earlier turn is asked for."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt and its answer, as the page shows them, with what was thought before the answer.
    `prompt` is empty where a program sent results of functions, which stand at their calls; those
    without one are `results`. `details` is for the page's scripts."""

    response_id: UUID
    status: str
    is_open: bool
    prompt: str
    attachments: list[Attachment]
    results: list[Call]
    reasoning: str
    blocks: list[SafeString]
    refusal: str
    calls: list[Call]
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Window:
    """Turns of a path, oldest first; `earlier`: there are more before them."""

    turns: list[Turn]
    earlier: bool
    newest: UUID | None
    """The newest response of the whole conversation, on whatever branch."""

    @property
    def has_items(self) -> bool:
        """Whether anything is to be shown that is neither text nor thought."""
        return any(turn.refusal or turn.calls or turn.results for turn in self.turns)


def window(
    conversation: Conversation, through: UUID | None = None, before: UUID | None = None
) -> Window:
    """The last turns of a path, or the last ones before a turn.

    `through`: a response that the path has to lead through; without one it leads to the newest.
    KeyError for a response that is none of the conversation's.
    """
    nodes = tree_of(conversation)
    path = thread.Thread(nodes).path(through)
    end = len(path)
    if before is not None:
        end = next((number for number, turn in enumerate(path) if turn.id == before), -1)
        if end < 0:
            raise KeyError(before)
    start = max(0, end - WINDOW)
    if before is None and through is not None:  # the turn that was asked for is among them
        of_turn = (number for number, turn in enumerate(path) if through in turn.chain)
        own = next(of_turn, start)
        start = max(min(start, own), end - MOST_SHOWN, 0)
    turns = _turns(path[start:end], path[end : end + 1])
    return Window(turns, start > 0, nodes[-1].id if nodes else None)


def newest(conversation: Conversation) -> UUID | None:
    """The newest response's id."""
    return newest_first(conversation).values_list("pk", flat=True).first()


def tree_of(conversation: Conversation) -> list[thread.Node]:
    """Return the conversation's responses, the oldest first, as `Thread` takes them."""
    rows = (
        newest_first(conversation)
        .reverse()
        .annotate(is_stub=Q(status__in=TERMINAL) & Q(message=None))
        .values_list("pk", F("previous_id"), F("continues_id"), "is_stub")
    )
    return [thread.Node(*row) for row in rows]


def _turns(path: Sequence[thread.Version], following: Sequence[thread.Version]) -> list[Turn]:
    """Return the turns of a path; `following`: the one after them, if there is any."""
    ids = [response_id for turn in (*path, *following) for response_id in turn.chain]
    related = ("prompt", "message", "continues__message")
    rows = Response.objects.select_related(*related).in_bulk(ids)
    chains = [[rows[id_] for id_ in turn.chain if id_ in rows] for turn in path]
    shown = [(turn, chain) for turn, chain in zip(path, chains, strict=True) if chain]
    texts = [_text(chain[-1]) for _, chain in shown]
    rendered = markup.render_all(texts)
    prompts = _prompts([turn for turn, _ in shown])
    after = next((rows[turn.id] for turn in following if turn.id in rows), None)
    calls = calls_of([chain for _, chain in shown], after)
    return [
        _turn(turn, chain, text, blocks, called, prompts)
        for (turn, chain), text, blocks, called in zip(shown, texts, rendered, calls, strict=True)
    ]


def _prompts(shown: Sequence[thread.Version]) -> dict[UUID, UUID]:
    """The prompt of each version, by ids, for turns that have several versions."""
    ids = [id_ for turn in shown if len(turn.versions) > 1 for id_ in turn.versions]
    if not ids:
        return {}
    return dict(Response.objects.filter(pk__in=ids).values_list("pk", "prompt_id"))


def _prompt_numbers(turn: thread.Version, prompts: Mapping[UUID, UUID]) -> list[int]:
    """For each version of a turn the number of its prompt, the oldest prompt being 0.

    Versions of one number are answers to the same prompt.
    """
    numbers: dict[UUID | None, int] = {}
    return [numbers.setdefault(prompts.get(id_), len(numbers)) for id_ in turn.versions]


def _text(last: Response) -> str:
    return last.message.content if last.message else prefix_of(last)


def _turn(
    turn: thread.Version,
    chain: Sequence[Response],
    text: str,
    blocks: list[SafeString],
    called: TurnCalls,
    prompts: Mapping[UUID, UUID],
) -> Turn:
    last = chain[-1]
    asked = last.prompt
    is_result = asked.role == Message.Role.TOOL
    waits = last.status in (Status.ACCEPTING, Status.QUEUED)
    return Turn(
        response_id=last.pk,
        status=Status.QUEUED if waits else Status(last.status),
        is_open=last.status in OPEN,
        prompt="" if is_result else typed_text(asked.content, asked.parts),
        attachments=attachments(asked.parts),
        results=called.results,
        reasoning=thought_of(chain),
        blocks=blocks,
        refusal=refusal_of(chain),
        calls=called.calls,
        details={
            "text": text,
            "reasoning_ms": _thought_ms(chain),
            "attachments": _resent(asked.parts),
            "previous": turn.previous,
            "versions": turn.versions,
            "prompts": _prompt_numbers(turn, prompts),
            "continues": last.continues_id,
            "rating": last.rating or 0,
            "trimmed_messages": last.trimmed_messages,
            "done": _done(chain),
        },
    )


def _resent(parts: Sequence[Mapping[str, Any]] | None) -> list[dict[str, str]]:
    """Return the parts of a changed prompt that stay as they are, as the page sends them again."""
    return [
        {"type": part["type"], name: part[name]}
        for part in parts or ()
        for name in ("file_id", "image_url")
        if part["type"] in ("input_file", "input_image") and part.get(name)
    ]


def _done(chain: Sequence[Response]) -> dict[str, Any] | None:
    """What the page's line below an answer is made of, by the names of a response on the wire;
    tokens and time are those of all that were needed to write it. None while it is open."""
    last = chain[-1]
    ended = [response for response in chain if response.finished_at is not None]
    if last.finished_at is None:
        return None
    return {
        "status": last.status,
        "usage": {"output_tokens": sum(response.completion_tokens for response in ended)},
        "timings": {"total_ms": sum(total_ms(response) for response in ended)},
        "error": {"code": last.error_code, "message": last.error_message},
        "began": any(response.started_at is not None for response in ended),
    }


def _thought_ms(chain: Sequence[Response]) -> int:
    """Milliseconds that were thought for an answer until now."""
    return sum(response.reasoning_ms or 0 for response in chain)
