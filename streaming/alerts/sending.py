"""Sending one message: JSON by a web hook, signed; or an e-mail. Says what went wrong."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlsplit

from django.core.mail import EmailMessage

from streaming.models import AlertMessage, AlertReceiver
from streaming.system import mail

TIMEOUT_SECONDS = 10.0

SIGNATURE = "X-ChatStream-Signature"
"""The header with `t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY` by the receiver's secret."""


async def send(message: AlertMessage) -> str:
    """Send a message; return what went wrong, empty if it has arrived. Raises nothing."""
    receiver = message.receiver
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            if receiver.kind == AlertReceiver.Kind.EMAIL:
                return await _mail(message)
            return await _post(receiver, {"id": message.pk, **message.body})
    except TimeoutError:
        return f"no answer within {TIMEOUT_SECONDS:.0f} s"
    except Exception as error:  # of whatever library: it is for the operator to read
        return f"{type(error).__name__}: {error}"


def signature(secret: str, body: bytes, seconds: int) -> str:
    """Return the signature of a body that is sent at a time, in seconds since 1970."""
    signed = f"{seconds}.".encode() + body
    return f"t={seconds},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


async def _post(receiver: AlertReceiver, body: dict[str, Any]) -> str:
    """Redirects are not followed: what is signed goes to the address that was set, and no other."""
    import httpx2  # not before it is needed

    content = json.dumps(body, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "ChatStream",
        SIGNATURE: signature(receiver.secret, content, int(time.time())),
    }
    async with (
        httpx2.AsyncClient(follow_redirects=False, timeout=TIMEOUT_SECONDS) as client,
        client.stream("POST", receiver.address, content=content, headers=headers) as answer,
    ):
        if answer.is_redirect:
            return f"HTTP {answer.status_code}: redirects are not followed"
        return "" if answer.is_success else f"HTTP {answer.status_code}"


async def _mail(message: AlertMessage) -> str:
    if not mail.can_be_sent():
        return "no mail is configured (EMAIL_URL)"
    body = message.body
    subject = f"[ChatStream] {message.state}: {body.get('rule') or 'test'}"
    text = "\n".join(f"{name}: {value}" for name, value in body.items() if value is not None)
    told = EmailMessage(
        subject, f"{body.get('text', '')}\n\n{text}\n", to=[message.receiver.address]
    )
    await asyncio.to_thread(told.send)
    return ""


def fault_of_address(kind: str, address: str) -> str:
    """Return why nothing can be sent to an address, empty if something can."""
    if kind == AlertReceiver.Kind.EMAIL:
        name, at, host = address.rpartition("@")
        plain = address.isprintable() and not any(sign in address for sign in ' ,;<>"')
        return "" if name and at and host and plain else "it is no e-mail address"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return "it is no address"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "it does not begin with https:// or http:// and a host"
    if parts.username is not None or parts.password is not None:
        return "it has a password in it, which this page would show"
    return (
        ""
        if address.isprintable() and " " not in address
        else "it has a character that no address has"
    )
