"""OpenTelemetry traces of a response's life, if CHATSTREAM_TRACING asks for them.

A trace is made when the response has ended, from the times in its row: one span for the whole,
with a span for the queue and one for the generation in it. So it survives the death of a
process in between, and costs nothing while tokens flow. Attributes follow the semantic
conventions for generative AI; nothing of what people wrote is in them.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error

from streaming import conf
from streaming.engine.models.model_name import shown_name

if TYPE_CHECKING:
    from streaming.models import Response

SERVICE = "chatstream"


def trace(response: Response) -> None:
    """Make the spans of an ended response. Does nothing unless tracing is on."""
    if conf.get().tracing:
        _trace(_tracer(), response)


@lru_cache(maxsize=1)
def _tracer() -> Any:
    """Return this process's tracer; the exporter reads the `OTEL_*` variables itself."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say stands above ours.
    resource = Resource({"service.name": SERVICE}).merge(Resource.create())
    if resource.attributes.get("service.name", "").startswith("unknown_service"):  # type: ignore[union-attr]
        resource = resource.merge(Resource({"service.name": SERVICE}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer(SERVICE)


def _trace(tracer: Any, response: Response) -> None:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

    end = response.finished_at or response.created_at
    whole = tracer.start_span(
        "chat",
        Context(),
        SpanKind.SERVER,
        attributes=_attributes(response),
        start_time=_nanoseconds(response.created_at),
    )
    if response.status == "failed":
        whole.set_attribute("error.type", response.error_code or "failed")
        whole.set_status(Status(StatusCode.ERROR))
    inside = set_span_in_context(whole, Context())
    claimed = response.started_at or end
    queue = tracer.start_span("queue", inside, start_time=_nanoseconds(response.created_at))
    queue.end(_nanoseconds(claimed))
    if response.started_at is not None:
        generation = tracer.start_span("generation", inside, start_time=_nanoseconds(claimed))
        if response.first_token_at is not None:
            generation.add_event("first_token", timestamp=_nanoseconds(response.first_token_at))
        generation.end(_nanoseconds(end))
    whole.end(_nanoseconds(end))


def _model_name() -> str:
    settings = conf.get()
    named = (settings.upstream_url and settings.upstream_model) or settings.model
    return shown_name(named) or "default"


def _attributes(response: Response) -> dict[str, str | int | float | list[str]]:
    params = response.params
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": SERVICE,
        "gen_ai.request.model": _model_name(),
        "gen_ai.response.id": str(response.pk),
        "gen_ai.conversation.id": str(response.conversation_id),
        "gen_ai.request.max_tokens": params.get("max_tokens"),
        "gen_ai.request.temperature": params.get("temperature"),
        "gen_ai.request.top_p": params.get("top_p"),
        "gen_ai.request.top_k": params.get("top_k"),
        "gen_ai.request.seed": params.get("seed"),
        "gen_ai.response.finish_reasons": [response.finish_reason or response.status],
        "gen_ai.usage.input_tokens": response.prompt_tokens,
        "gen_ai.usage.output_tokens": response.completion_tokens,
        "chatstream.status": response.status,
        "chatstream.attempt": response.attempt,
        "chatstream.worker": response.worker or None,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def check_tracing(**kwargs: Any) -> list[CheckMessage]:
    """System check `streaming.E002`: traces are asked for and cannot be made."""
    try:
        if conf.get().tracing:
            import opentelemetry.exporter.otlp.proto.http.trace_exporter
            import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as error:
        text = f"CHATSTREAM_TRACING needs: pip install -e '.[otel]' ({error})"
        return [Error(text, id="streaming.E002")]
    except ValueError:
        pass  # `streaming.E001` says what is wrong
    return []
