"""What has become of a file: how many conversations are here now, which are not, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

FILE_REASONS: dict[str, str | Promise] = {
    "nothing": _("The file is empty, or has no conversations in it."),
    "no_json": _("The file is not valid JSON, or it is damaged or cut off."),
    "no_text": _("The file is not text in UTF-8."),
    "no_archive": _("The ZIP archive is damaged, or locked by a password."),
    "too_deep": _("The file is nested too deeply."),
    "too_large": _("What is in the file is too large when it is unpacked."),
    "too_many": _("There is too much in the file."),
    "large_conversation": _("The file is damaged, or a conversation in it is too large."),
    "too_slow": _("Reading the file takes too much time or memory."),
    "busy": _("Other files are being read. Try again in a moment."),
    "file_too_large": _("The file is too large."),
    "no_file": _("Choose a file first."),
    "used_up": _("That is as much as can be imported in a day. Try again tomorrow."),
}
"""Why nothing of a file was imported."""

REASONS: dict[str, str | Promise] = {
    "known": _("It is here already."),
    "unknown": _("It is in no known format."),
    "version": _("It was exported by a newer version of ChatStream."),
    "malformed": _("It is damaged."),
    "loop": _("Its messages refer to each other in a circle."),
    "empty": _("There are no messages in it."),
    "too_many_messages": _("It has too many messages."),
    "long_message": _("A message in it is too long."),
    "too_large": _("It is too large."),
    "full": _("There are as many imported conversations as there may be."),
    "failed": _("It could not be stored."),
    "later": _("There was no time left. Import the same file again to go on."),
}
"""Why a conversation was not imported."""

MOST_TITLES = 5


@dataclass(slots=True)
class Skipped:
    """Conversations that were not imported for one reason; the first titles of them."""

    reason: str
    count: int = 0
    titles: list[str] = field(default_factory=list)

    @property
    def why(self) -> str:
        """Return the reason in words."""
        return str(REASONS[self.reason])

    @property
    def rest(self) -> int:
        """Return how many are not named."""
        return self.count - len(self.titles)


@dataclass(slots=True)
class Report:
    """What was imported and what was not. `refused`: why nothing of the file was."""

    imported: int = 0
    first: str = ""
    refused: str = ""
    skipped: dict[str, Skipped] = field(default_factory=dict)
    replaced: Counter[str] = field(default_factory=Counter)
    instructions: int = 0
    """System prompts that were left out because they are too long."""

    def skip(self, reason: str, title: str) -> None:
        """Count a conversation that was not imported."""
        found = self.skipped.setdefault(reason, Skipped(reason))
        found.count += 1
        if title and len(found.titles) < MOST_TITLES:
            found.titles.append(title)

    @property
    def why_refused(self) -> str:
        """Return in words why nothing of the file was imported; "" if it was read."""
        return str(FILE_REASONS[self.refused]) if self.refused else ""

    @property
    def summary(self) -> str:
        """Return how many were imported and how many not."""
        done = ngettext(
            "%(count)d conversation was imported.",
            "%(count)d conversations were imported.",
            self.imported,
        ) % {"count": self.imported}
        count = sum(each.count for each in self.skipped.values())
        if not count:
            return done
        left = ngettext("%(count)d was skipped.", "%(count)d were skipped.", count)
        return f"{done} {left % {'count': count}}"

    @property
    def about_instructions(self) -> str:
        """Return how many system prompts were left out."""
        text = ngettext(
            "%(count)d system prompt is too long and was left out.",
            "%(count)d system prompts are too long and were left out.",
            self.instructions,
        )
        return text % {"count": self.instructions}

    @property
    def named(self) -> list[tuple[str, int]]:
        """Return what stands in brackets instead of itself, and how often."""
        return sorted((name, count) for name, count in self.replaced.items() if count)
