"""What the empty page offers to ask."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _

from streaming import conf


def starters() -> Sequence[str]:
    """Return the operator's prompts, else four of ours that a small model can answer, too."""
    own = conf.get().starters
    if own is not None:
        return own
    return (
        _("Explain to a child why the sky is blue."),
        _("Write a short poem about rain in the city."),
        _("Give me five ideas for a quick dinner."),
        _("What is the difference between weather and climate?"),
    )
