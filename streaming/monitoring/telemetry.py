"""What operators are told of a response that ended: metrics, a log line, a trace.

The process whose write ended it in the record tells it, once. Nothing of what people wrote is
told, and no fault in here reaches the response.
"""

from __future__ import annotations

import logging

from streaming.models import Response
from streaming.monitoring import metrics, tracing

logger = logging.getLogger(__name__)


def ended(response: Response) -> None:
    """Tell of a response that has ended. To be called in the database's thread, when the end is
    committed."""
    metrics.count_end(response)
    logger.info(
        "Response %s: %s, %s tokens, attempt %s.",
        response.pk,
        response.status,
        response.completion_tokens,
        response.attempt,
        extra={"data": facts(response)},
    )
    tracing.trace(response)


def facts(response: Response) -> dict[str, str | int | float | None]:
    """Return an ended response's fields for a log line. Times in seconds."""

    def since(moment: object) -> float | None:
        seconds = moment and (moment - response.created_at).total_seconds()  # type: ignore[operator]
        return round(seconds, 3) if seconds else None

    return {
        "status": response.status,
        "error_code": response.error_code or None,
        "prompt_tokens": response.prompt_tokens,
        "completion_tokens": response.completion_tokens,
        "reasoning_tokens": response.reasoning_tokens,
        "attempt": response.attempt,
        "worker": response.worker or None,
        "queue_seconds": since(response.started_at),
        "ttft_seconds": since(response.first_token_at),
        "e2e_seconds": since(response.finished_at),
    }
