"""What is asked: prompts of a given length, no two alike, and those that people would send."""

from __future__ import annotations

import json
import random
from pathlib import Path

from benchmarks.options import FOLDER

SHIPPED = FOLDER / "workloads" / "prompts.jsonl"
"""Written for this project: 40 pairs of turns, in MT-bench's form."""

_WHO = ("the captain", "a young baker", "the old clockmaker", "my neighbour", "the violinist",
        "a tired nurse", "the gardener", "a lost tourist", "the mayor", "two sisters",
        "the lighthouse keeper", "a chess player", "the astronomer", "a retired pilot")  # fmt: skip
_DID = ("found", "repaired", "painted", "sold", "forgot", "carried home", "wrote about",
        "measured", "borrowed", "dreamed of", "described", "hid", "remembered", "drew")  # fmt: skip
_WHAT = ("a wooden boat", "the broken radio", "seven letters", "an empty suitcase", "a map",
         "the garden wall", "a box of buttons", "the first snow", "a loaf of rye bread",
         "the station clock", "a grey cat", "an unfinished song", "a bag of seeds")  # fmt: skip
_WHEN = ("before sunrise", "during the storm", "in the winter of that year", "after the concert",
         "without telling anybody", "on the way to the harbour", "for the third time",
         "while the kettle boiled", "in front of the whole village")  # fmt: skip
_TASK = ("Tell this as a very long and detailed story, with many paragraphs, and give every "
         "person in it a name, a past and a wish. Do not stop early.")  # fmt: skip


def prompt_of(words: int, seed: int) -> str:
    """So many words (at least those of the task), of which prompts with another seed share no
    beginning: an engine that remembers what it has read has no use of it."""
    chance = random.Random(seed)
    said = [str(chance.randrange(10**8)), "is", "this", "report's", "number."]
    room = words - len(_TASK.split())
    while len(said) < room:
        parts = (chance.choice(choices) for choices in (_WHO, _DID, _WHAT, _WHEN))
        sentence = " ".join(parts) + "."
        said += sentence.split()
    return " ".join([*said[: max(room, 2)], *_TASK.split()])


def turns(file: Path | None) -> list[tuple[str, ...]]:
    """The conversations of a file of JSON lines with `turns`; None for the shipped ones.

    Raises ValueError that names the line that is wrong.
    """
    path = file or SHIPPED
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            said = tuple(json.loads(line)["turns"])
        except (ValueError, KeyError, TypeError):
            said = ()
        if not said or not all(isinstance(turn, str) and turn.strip() for turn in said):
            raise ValueError(f"{path}, line {number}: no JSON object with texts in `turns`")
        found.append(said)
    if not found:
        raise ValueError(f"{path} holds no prompts")
    return found
