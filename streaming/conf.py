"""The CHATSTREAM settings: names, types, defaults and bounds.

The environment is read once, by `chatsite.settings`, into the dict `CHATSTREAM` of raw
values; this module checks it and offers it typed. What is wrong is reported by Django's
system checks, each fault in a sentence that names the setting, the value and what is allowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.signals import setting_changed
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

PREFIX = "CHATSTREAM_"

LOCAL_ENGINE = "streaming.engine.local.LocalEngine"

DEFAULT_REDIS_PREFIX = "chatstream"


def _origin_of(text: str) -> str:
    """An origin as browsers write it: in lower case, without the scheme's own port. Raises
    ValueError."""
    if text == "*":
        return text
    parts = urlsplit(text.lower().removesuffix("/"))
    is_origin = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if not is_origin or parts.path or parts.query or parts.fragment or "*" in text:
        raise ValueError(f"{text!r} is no origin")
    own = {"http": 80, "https": 443}[parts.scheme]
    netloc = parts.netloc.removesuffix(f":{own}") if parts.port in (None, own) else parts.netloc
    return f"{parts.scheme}://{netloc}"


def _none_if_auto(value: Any) -> Any:
    return None if value == "auto" else value


class ChatStreamSettings(BaseModel):
    """Every setting of ours; the environment variable is `CHATSTREAM_` and the name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(
        "", description="Hub id, local folder or `.gguf` file; empty for the bundled small model"
    )
    adapter: str = Field(
        "", description="LoRA adapter to merge into the model: a PEFT folder or a Hub id"
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto, cpu, cuda, cuda:N or mps",
    )
    engine: str = Field(
        LOCAL_ENGINE,
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="dotted path of the engine's class",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto", description="auto, float32, bfloat16, float16 or int8 (CPU)"
    )
    chat_template: Path | None = Field(
        None,
        description="file with the Jinja template that makes prompts of conversations, for a model "
        "that has none or instead of its own",
    )
    max_running: Annotated[int | None, BeforeValidator(_none_if_auto)] = Field(
        4,
        ge=1,
        le=256,
        description="responses a worker generates concurrently; auto: as many as leave each reader "
        "10 tokens a second, measured when the model is loaded",
    )
    max_rows: int = Field(
        0,
        ge=0,
        le=1024,
        description="how far an operator may raise that while it runs, each a context's memory; "
        "0: to twice as many on a CPU, where unused rows take none, else not at all",
    )
    max_waiting: int = Field(
        100,
        ge=0,
        le=100_000,
        description="responses that may wait for a place, all owners together",
    )
    max_per_owner: int = Field(
        8, ge=0, le=100_000, description="open responses of one owner, 0 for no bound"
    )
    max_per_address: int = Field(
        64, ge=0, le=100_000, description="open responses from one client address, 0 for no bound"
    )
    max_input_chars: int = Field(
        32_000, ge=1, le=250_000, description="length of one prompt, in Unicode code points"
    )
    max_conversation_chars: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="length of all messages of one request to `/v1/` together; 0: eight prompts of "
        "the length above",
    )
    max_tokens: int = Field(
        1024,
        ge=1,
        le=131_072,
        description="most tokens of one answer, and the default of `max_tokens`",
    )
    thinking: Literal["auto", "off", "low", "medium", "high"] = Field(
        "auto",
        description="how much a model that can think does so before it answers, unless a request "
        "says otherwise: auto (its own way), off, low, medium or high",
    )
    max_reasoning_tokens: int = Field(
        0,
        ge=0,
        le=1_048_576,
        description="most tokens of a thought, which count nothing towards those of the answer: "
        "then it is ended and the answer begins; 0: half of the context",
    )
    context_tokens: int = Field(
        0,
        ge=0,
        le=1_048_576,
        description="tokens of a conversation with its answer; 0: the model's own, at most 4096",
    )
    lease_seconds: float = Field(
        15, ge=0.5, le=600, description="how long a worker's claim holds without being renewed"
    )
    disconnect_grace: float = Field(
        60,
        ge=0.5,
        le=86_400,
        description="seconds after the last viewer left until a response is cancelled",
    )
    queue_timeout: float = Field(
        1800, ge=0, le=604_800, description="seconds a prompt may wait for a place, 0 for no limit"
    )
    generation_timeout: float = Field(
        600, ge=0, le=604_800, description="seconds an answer may be generated, 0 for no limit"
    )
    hang_seconds: float = Field(
        60,
        ge=0,
        le=86_400,
        description="seconds without any progress after which a step of the engine, the making of "
        "a prompt, or the event loop counts as hung: the worker is not ready, its answers go back "
        "to the queue; after twice as many the process ends with status 1; 0: never",
    )
    drain_seconds: float = Field(
        30, ge=0, le=3600, description="how long an ending worker lets running responses finish"
    )
    max_sockets: int = Field(
        64, ge=1, le=100_000, description="WebSockets of one owner or address on a web process"
    )
    max_connections: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="connections of a web process, sockets included; 0: as many as its limit of "
        "open files allows, 10,000 at most",
    )
    max_connections_per_address: int = Field(
        256,
        ge=0,
        le=1_000_000,
        description="of these, from one client address that is no trusted proxy, 0 for no bound",
    )
    request_timeout: float = Field(
        20,
        ge=1,
        le=3600,
        description="seconds for the head of a request or handshake to come; as many, and one for "
        "each 8 KiB, for its body",
    )
    keep_alive: float = Field(
        75, ge=1, le=3600, description="seconds a connection is kept that asks nothing"
    )
    max_events_per_second: float = Field(
        20,
        gt=0,
        le=10_000,
        description="client events a second per socket, bursts of 5 s allowed",
    )
    max_unsent_bytes: int = Field(
        1_048_576,
        ge=65_536,
        le=1_073_741_824,
        description="bytes that a slow client may leave unread before its socket is cut",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="addresses or networks, comma-separated, whose X-Forwarded-For is believed",
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        description="origins, comma-separated, whose pages may ask `/v1/` from a browser, such as "
        "`https://app.example.org`; `*` for all; never with cookies",
    )
    anonymous: bool = Field(True, description="whether people may chat without signing in")
    signup: bool = Field(True, description="whether people may make themselves an account")
    cache_dir: Path | None = Field(
        None, description="where the model is kept; empty for the user's cache folder"
    )
    retention_days: int = Field(
        0, ge=0, le=36_500, description="age at which `prune` deletes a conversation; 0: never"
    )
    metrics_token: str = Field(
        "",
        pattern=r"^([!-~]{16,})?$",
        description="bearer token, 16 characters or more, that opens `/metrics` from anywhere",
    )
    metrics_allow: tuple[str, ...] = Field(
        ("127.0.0.0/8", "::1"),
        description="addresses or networks, comma-separated, that may read `/metrics`",
    )
    worker_metrics_port: int = Field(
        0, ge=0, le=65_535, description="where `runworker` serves its own `/metrics`; 0: nowhere"
    )
    worker_metrics_host: str = Field("127.0.0.1", description="the address of that port")
    upstream_url: str = Field(
        "",
        description="base URL of an OpenAI-compatible server that answers instead of a model in "
        "this process, such as `http://host:8000/v1`",
    )
    upstream_key: str = Field(
        "",
        pattern=r"^[!-~]*$",
        repr=False,
        description="bearer token for that server, printable ASCII without spaces",
    )
    upstream_model: str = Field(
        "",
        max_length=500,
        description="name of its model; empty for `CHATSTREAM_MODEL`, or else the first it lists",
    )
    upstream_continues: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="whether it goes on with an assistant message at the end; auto: as known of "
        "vLLM, SGLang, llama.cpp and Ollama, else no",
    )
    upstream_patience: float = Field(
        120,
        ge=0,
        le=86_400,
        description="seconds that a claimed response waits for a server that is away or busy",
    )
    prefix: str = Field(
        DEFAULT_REDIS_PREFIX,
        max_length=40,
        pattern=r"^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$",
        description="how the names of all keys and channels in Redis begin, letters and digits "
        "with single `.`, `_` or `-` between them: another one for each site on one Redis",
    )
    tracing: bool = Field(
        False, description="OpenTelemetry traces, sent where the `OTEL_*` variables say"
    )

    @property
    def conversation_chars(self) -> int:
        """`max_conversation_chars`, or what its 0 stands for."""
        return self.max_conversation_chars or 8 * self.max_input_chars

    @field_validator("max_rows")
    @classmethod
    def _room(cls, value: int, info: ValidationInfo) -> int:
        running = info.data.get("max_running") or 0
        if 0 < value < running:
            raise ValueError(f"it is less than {PREFIX}MAX_RUNNING={running}")
        return value

    @field_validator("upstream_url")
    @classmethod
    def _base_url(cls, value: str, info: ValidationInfo) -> str:
        parts = urlsplit(value)
        if not value:
            return value
        if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable():
            raise ValueError("it is no http or https URL")
        if "@" in parts.netloc:
            raise ValueError(f"a credential belongs into {PREFIX}UPSTREAM_KEY")
        if parts.query or parts.fragment or " " in value:
            raise ValueError("it ends with a path")
        if parts.port == 0:
            raise ValueError("port 0 is none")
        if info.data.get("engine", LOCAL_ENGINE) != LOCAL_ENGINE:
            raise ValueError(f"{PREFIX}ENGINE is set, too; only one of them chooses the engine")
        return value.rstrip("/")

    @field_validator("trusted_proxies", "metrics_allow", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies", "metrics_allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network, strict=False)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_origin_of(text) for text in value)

    @field_validator("cache_dir", "chat_template", mode="before")
    @classmethod
    def _no_empty_path(cls, value: object) -> object:
        return value or None


def from_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The raw values of all `CHATSTREAM_*` variables, by lower-case name. Empty means default,
    but for the model, where it names the bundled one all the same."""
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and value.strip() and name.removeprefix(PREFIX) not in _NOT_OURS
    }


SECRETS = ("metrics_token", "upstream_key")
"""Settings that are never shown, not even when they are wrong."""

_NOT_OURS = {"REQUIRE_ALL", "API_KEY", "DATA_DIR"}
"""The test suite's own switch, `manage.py chat`'s key, and the site's folder."""


def get() -> ChatStreamSettings:
    """The checked settings. Raises pydantic.ValidationError if the system checks were skipped."""
    return _parse(tuple(sorted(settings.CHATSTREAM.items())))


@lru_cache(maxsize=8)
def _parse(items: tuple[tuple[str, Any], ...]) -> ChatStreamSettings:
    return ChatStreamSettings.model_validate(dict(items))


def faults(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with the raw values, a sentence each."""
    try:
        ChatStreamSettings.model_validate(dict(raw))
    except ValidationError as error:
        return [_sentence(fault) for fault in error.errors()]
    return []


def _sentence(fault: Mapping[str, Any]) -> str:
    name = str(fault["loc"][0])
    variable = PREFIX + name.upper()
    if fault["type"] == "extra_forbidden":
        known = ", ".join(
            sorted(PREFIX + field.upper() for field in ChatStreamSettings.model_fields)
        )
        return f"{variable} is no setting of ChatStream. The settings are {known}."
    description = ChatStreamSettings.model_fields[name].description
    hidden = name in SECRETS or (name == "upstream_url" and "@" in str(fault["input"]))
    value = "(hidden)" if hidden else repr(fault["input"])
    return f"{variable}={value} is not allowed: {fault['msg']}. It is: {description}."


def settings_table() -> str:
    """The settings as rows of the README's Markdown table: variable, default, meaning."""
    return "\n".join(
        f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |"
        for name, field in ChatStreamSettings.model_fields.items()
    )


def _shown(default: object) -> str:
    if default in ("", (), None):
        return ""
    if isinstance(default, tuple):
        default = ",".join(default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """System check `streaming.E001`: a wrong value."""
    errors: list[CheckMessage] = [
        Error(text, id="streaming.E001") for text in faults(settings.CHATSTREAM)
    ]
    return errors


def _forget(**kwargs: Any) -> None:
    _parse.cache_clear()


setting_changed.connect(_forget)
