"""Sending e-mail to people: while nobody waits for it.

A mail server that is slow or away would hold up the page, and the page's delay would tell who has
an account.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from django.core.mail import EmailMessage

from streaming import conf
from streaming.accounts.attempt_limits import Limit
from streaming.system.mail import can_be_sent as can_be_sent

logger = logging.getLogger(__name__)

TO_ADDRESS = Limit("mail_to", bound=5, seconds=60 * 60)
"""Mails that anybody may have sent to one address."""

FROM_ADDRESS = Limit("mail_from", bound=20, seconds=60 * 60)
"""Mails that may be asked for from one network address."""

_MAX_SENDING = 32


def context() -> dict[str, Any]:
    """Return what pages need that depend on mail: `mail_works`, and `contact`, whom to ask."""
    return {"mail_works": can_be_sent(), "contact": conf.get().contact}


def send(to: str, subject: str, *paragraphs: str) -> None:
    """Send a mail of plain text in the background."""
    SENDER.send(EmailMessage(" ".join(subject.split()), "\n\n".join(paragraphs) + "\n", to=[to]))


class Sender:
    """Sends messages, each in a thread of its own, `bound` at a time; more are refused."""

    def __init__(self, bound: int) -> None:
        self._room = threading.BoundedSemaphore(bound)
        self._threads: set[threading.Thread] = set()

    def send(self, message: EmailMessage) -> None:
        """Send a message in the background; what fails is logged, without the address."""
        if not self._room.acquire(blocking=False):
            logger.error("A mail was not sent: %d are being sent already.", _MAX_SENDING)
            return
        thread = threading.Thread(target=self._send, args=(message,), name="mail", daemon=True)
        self._threads.add(thread)
        thread.start()

    def wait(self) -> None:
        """Wait until everything is sent, or has failed."""
        for thread in list(self._threads):
            thread.join()

    def _send(self, message: EmailMessage) -> None:
        try:
            message.send()
        except Exception as error:  # the mail server's, the network's
            logger.error("A mail could not be sent: %s", type(error).__name__)
        finally:
            self._threads.discard(threading.current_thread())
            self._room.release()


SENDER = Sender(_MAX_SENDING)
