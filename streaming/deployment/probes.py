"""What monitors ask a web process: `/healthz`, `/readyz`, `/health`, `/metrics`.

They stand before everything else: a probe knows neither the site's host name nor HTTPS.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from channels.layers import get_channel_layer
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import split_domain_port, validate_host
from django.utils.decorators import async_only_middleware

from streaming import conf
from streaming.identity import owners
from streaming.lifecycle import list_lock
from streaming.monitoring import metrics
from streaming.record.database_check import DatabaseCheck
from streaming.waiting_list.interface import Snapshot, WorkerRow, WorkerState

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""Seconds after which a database or layer that does not answer is taken to be away."""

HEALTHY = {"status": "ok"}

Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


@async_only_middleware
def probes(get_response: Handler) -> Handler:
    """Middleware: answer the four addresses, pass everything else on."""
    answers = {
        "/healthz": healthz,
        "/readyz": readyz,
        "/health": health,
        "/metrics": show_metrics,
    }

    async def answer(request: HttpRequest) -> HttpResponse:
        probe = answers.get(request.path_info)
        if probe is None:
            return await get_response(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        response = await probe(request)
        response["Cache-Control"] = "no-store"
        return response

    return answer


async def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if the process's event loop turns. Asks nobody else. `serve` does so by itself."""
    return JsonResponse(HEALTHY)


async def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if a prompt can be answered now, else 503; JSON says what is missing."""
    database, (layer, worker) = await asyncio.gather(_database(), _layer_and_worker())
    checks = {"database": database, "layer": layer, "worker": worker}
    is_ready = all(check == "ok" for check in checks.values())
    status = {"status": "ready" if is_ready else "unready", "checks": checks}
    headers = None if is_ready else {"Retry-After": "5"}
    return JsonResponse(status, status=200 if is_ready else 503, headers=headers)


async def health(request: HttpRequest) -> HttpResponse:
    """Answer as `/readyz` by the name and, if ready, the word that llama.cpp has for it."""
    response = await readyz(request)
    return JsonResponse(HEALTHY) if response.status_code == 200 else response


async def _database() -> str:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await DatabaseCheck.here().fault() or "ok"
    except TimeoutError:
        logger.warning("The database does not answer.")
        return "does not answer"


async def _layer_and_worker() -> tuple[str, str]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            workers = await get_channel_layer().waiting_list.workers()
    except Exception:
        logger.warning("The channel layer does not answer.", exc_info=True)
        return "does not answer", "unknown"
    return "ok", list_lock.refusal(get_channel_layer()) or _workers_word(workers)


def _workers_word(workers: list[WorkerRow]) -> str:
    if any(worker.state is WorkerState.READY and "model" in worker.details for worker in workers):
        return "ok"
    if any(worker.state is WorkerState.HUNG for worker in workers):
        return "hangs: a step of its engine does not return"
    if any(worker.state is WorkerState.LOADING for worker in workers):
        return "loading its model"
    return "draining" if workers else "none is alive"


async def show_metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics of this process and of the queue, to those who may read them."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if not may_read(
        request.META.get("REMOTE_ADDR", ""),
        forwarded,
        request.META.get("HTTP_AUTHORIZATION", ""),
        request.META.get("HTTP_HOST", ""),
    ):
        return HttpResponse("You may not read the metrics.\n", "text/plain", 403)
    body, content_type = metrics.exposition(await snapshot(), request.META.get("HTTP_ACCEPT", ""))
    return HttpResponse(body, content_type)


async def snapshot() -> Snapshot | None:
    """Return the queue; None if the layer is away."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            found: Snapshot = await get_channel_layer().waiting_list.snapshot()
            return found
    except Exception:
        logger.warning("The queue cannot be read for the metrics.", exc_info=True)
        return None


def may_read(peer: str, forwarded: str, authorization: str, host: str = "") -> bool:
    """Whether the metrics are for this client: by its token, or by its address.

    One who comes through a proxy that is not trusted has no address: behind a proxy on the same
    machine everybody would seem to be local. Nor has one who asks for a `host` that is not ours:
    a page of another site, whose name was made to lead here, asks from the reader's own machine.
    """
    settings = conf.get()
    scheme, _, token = authorization.partition(" ")
    if settings.metrics_token and scheme.lower() == "bearer":
        given, wanted = token.strip().encode(), settings.metrics_token.encode()
        if secrets.compare_digest(given, wanted):
            return True
    if host and not is_ours(host):
        return False
    if forwarded and not owners.is_within(peer, settings.trusted_proxies):
        return False
    scope = {"client": [peer], "headers": [(b"x-forwarded-for", forwarded.encode("latin-1"))]}
    address = owners.exact_address(scope, settings.trusted_proxies)
    return owners.is_within(address, settings.metrics_allow)


def is_ours(host: str) -> bool:
    """Whether a Host header is one of `ALLOWED_HOSTS`, an address, or this machine by its usual
    name: none of these can be made to lead elsewhere."""
    name, _port = split_domain_port(host)
    bare = name.removeprefix("[").removesuffix("]")
    return (
        name == "localhost"
        or owners.is_address(bare)
        or (bool(name) and validate_host(name, django_settings.ALLOWED_HOSTS))
    )
