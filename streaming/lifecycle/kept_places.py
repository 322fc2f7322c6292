"""The places of those who have left: an account's are kept while it is signed in somewhere.

That holds for what was asked for in a signed-in session (`Response.in_session`). What a visitor or
a program asked for goes when nobody has watched it for a while, unless it is to go on in the
background.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from channels.layers import BaseChannelLayer

from streaming import conf
from streaming.identity import sessions
from streaming.record import lookups
from streaming.record.database import in_database
from streaming.record.portions import portions
from streaming.system.outages import log_fault

logger = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""Seconds from one look whether an account is signed in to the next one."""


async def keep(layer: BaseChannelLayer, response_ids: Sequence[str]) -> set[str]:
    """Keep those unwatched responses whose accounts are signed in, or that go on in the background;
    return their ids.

    If the sessions cannot be read, all that an account may be signed in for are kept until the next
    sweep. Raises what the record raises while it is away: then nothing can be ended either.
    """
    kept: set[str] = set()
    for some in portions(response_ids):
        kept |= await _keep(layer, some)
    return kept


async def _keep(layer: BaseChannelLayer, response_ids: Sequence[str]) -> set[str]:
    kept: set[str] = await lookups.in_background(response_ids)
    if accounts := await lookups.accounts_in_session(response_ids):
        try:
            present = await in_database(sessions.signed_in)(set(accounts.values()))
        except Exception as error:
            text = "Who is signed in cannot be read; the places are kept meanwhile."
            log_fault(logger, error, text)
            return kept | set(accounts)
        kept |= {name for name, account in accounts.items() if account in present}
    # The next sweep that names them is LOOK_SECONDS from now, be the grace shorter or longer.
    seconds = LOOK_SECONDS - conf.get().disconnect_grace
    for name in kept:
        await layer.waiting_list.keep(name, seconds)
    return kept
