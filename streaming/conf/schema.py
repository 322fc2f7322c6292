"""The CHATSTREAM settings, one field each: name, type, default, bounds and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from streaming.conf import values

PREFIX = "CHATSTREAM_"
"""How the names of our environment variables begin."""

LOCAL_ENGINE = "streaming.engine.local.LocalEngine"
"""The engine that loads a model in this process."""

DEFAULT_REDIS_PREFIX = "chatstream"

SECRETS = ("metrics_token", "upstream_key")
"""Settings that are never shown, not even when they are wrong."""


def _none_if_auto(value: Any) -> Any:
    return None if value == "auto" else value


class ChatStreamSettings(BaseModel):
    """All settings. A field's environment variable is `CHATSTREAM_` and its name in capitals.

    Its description is what the README's table and a fault's sentence say it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(
        "", description="Hub id, local folder or `.gguf` file; empty: the bundled small model"
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
        description="file with a Jinja template that turns a conversation into a prompt, for a "
        "model without one, or in place of its own",
    )
    max_running: Annotated[int | None, BeforeValidator(_none_if_auto)] = Field(
        4,
        ge=1,
        le=256,
        description="maximum responses that a worker generates concurrently; auto: as many as "
        "leave each reader 10 tokens a second, measured when the model is loaded",
    )
    max_rows: int = Field(
        0,
        ge=0,
        le=1024,
        description="maximum to which an operator may raise `CHATSTREAM_MAX_RUNNING` of a live "
        "worker; each response takes the memory of a context. 0: twice as many on a CPU, where "
        "unused rows take none, else no more",
    )
    max_waiting: int = Field(
        100,
        ge=0,
        le=100_000,
        description="maximum responses that wait for a place, of all owners together",
    )
    max_per_owner: int = Field(
        8, ge=0, le=100_000, description="maximum open responses of one owner; 0: no bound"
    )
    max_per_address: int = Field(
        64,
        ge=0,
        le=100_000,
        description="maximum open responses from one client address; 0: no bound",
    )
    max_input_chars: int = Field(
        32_000, ge=1, le=250_000, description="maximum length of one prompt, in Unicode code points"
    )
    max_conversation_chars: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="maximum length of all messages of one request to `/v1/` together; 0: eight "
        "times `CHATSTREAM_MAX_INPUT_CHARS`",
    )
    instructions: Annotated[str, AfterValidator(values.text_or_file)] = Field(
        "",
        max_length=100_000,
        description="instructions (a system prompt) before every conversation of the page and of "
        "`/ws/chat/`, or `@` and the path of a file with them; a person's own follow them",
    )
    max_instructions_chars: int = Field(
        4_000,
        ge=1,
        le=250_000,
        description="maximum length of a person's instructions, in Unicode code points",
    )
    starters: Annotated[tuple[str, ...] | None, BeforeValidator(values.texts)] = Field(
        None,
        description="prompts that the empty page offers: a JSON list of texts, or one on each "
        "line, 8 at most; `[]` for none; empty: four of our own, translated",
    )
    titles: Literal["prompt", "model"] = Field(
        "prompt",
        description="titles of conversations: the beginning of the prompt, or made by the model "
        "after the first answer, where nobody waits and two places are free (never with one place)",
    )
    max_tokens: int = Field(
        1024,
        ge=1,
        le=131_072,
        description="maximum tokens of one answer, and the default of `max_tokens`",
    )
    thinking: Literal["auto", "off", "low", "medium", "high"] = Field(
        "auto",
        description="how much a model that can think does so before it answers, unless a request "
        "says otherwise: auto (as it does by itself), off, low, medium or high",
    )
    max_reasoning_tokens: int = Field(
        0,
        ge=0,
        le=1_048_576,
        description="maximum tokens of a thought, which do not count as tokens of the answer; "
        "then the thought is ended and the answer begins. 0: half of the context",
    )
    context_tokens: int = Field(
        0,
        ge=0,
        le=1_048_576,
        description="maximum tokens of a conversation with its answer; 0: the model's own "
        "maximum, but no more than 4096",
    )
    lease_seconds: float = Field(
        15, ge=0.5, le=600, description="seconds that a worker's claim holds without being renewed"
    )
    disconnect_grace: float = Field(
        60,
        ge=0.5,
        le=86_400,
        description="seconds after its last viewer left until a response is cancelled; one that "
        "was asked for in an account's session stays as long as that account is signed in",
    )
    queue_timeout: float = Field(
        1800,
        ge=0,
        le=604_800,
        description="maximum seconds that a prompt waits for a place; 0: no limit",
    )
    generation_timeout: float = Field(
        600,
        ge=0,
        le=604_800,
        description="maximum seconds that an answer is generated; 0: no limit",
    )
    hang_seconds: float = Field(
        60,
        ge=0,
        le=86_400,
        description="seconds without progress after which a step of the engine, the making of a "
        "prompt, or the event loop counts as hung: the worker is not ready, and its answers go "
        "back to the queue; after twice as many the process ends with status 1. 0: never",
    )
    drain_seconds: float = Field(
        30, ge=0, le=3600, description="seconds that an ending worker lets running responses finish"
    )
    max_sockets: int = Field(
        64,
        ge=1,
        le=100_000,
        description="maximum WebSockets of one owner or address on a web process",
    )
    max_connections: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="maximum connections of a web process, sockets included; 0: as many as its "
        "limit of open files allows, but no more than 10,000",
    )
    max_connections_per_address: int = Field(
        256,
        ge=0,
        le=1_000_000,
        description="maximum connections from one client address that is no trusted proxy; 0: no "
        "bound",
    )
    request_timeout: float = Field(
        20,
        ge=1,
        le=3600,
        description="seconds in which the head of a request or handshake must have come; its body "
        "has as many, and one more for each 8 KiB",
    )
    keep_alive: float = Field(
        75, ge=1, le=3600, description="seconds that an idle connection is kept"
    )
    max_events_per_second: float = Field(
        20,
        gt=0,
        le=10_000,
        description="maximum client events a second on a socket; bursts of 5 s are allowed",
    )
    max_unsent_bytes: int = Field(
        1_048_576,
        ge=65_536,
        le=1_073_741_824,
        description="maximum bytes that a slow client leaves unread; then its socket is cut",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="addresses or networks of proxies, comma-separated, whose X-Forwarded-For is "
        "believed",
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        description="origins, comma-separated, whose pages may call `/v1/` from a browser, such "
        "as `https://app.example.org`; `*`: all. Never with cookies",
    )
    anonymous: bool = Field(True, description="whether people may chat without signing in")
    signup: bool = Field(True, description="whether people may create an account")
    sharing: bool = Field(
        True,
        description="whether people may make links by which anybody can read a copy of a "
        "conversation; false: links made before open nothing, either",
    )
    max_import_mb: int = Field(
        64,
        ge=0,
        le=1024,
        description="maximum megabytes of a file of conversations to import; 0: nobody may import",
    )
    max_file_mb: int = Field(
        20,
        ge=0,
        le=1024,
        description="maximum megabytes of a file that is attached to a message; 0: nobody may "
        "attach files",
    )
    max_files: int = Field(
        10, ge=1, le=100, description="maximum files attached to one message, images included"
    )
    max_owner_files_mb: int = Field(
        500, ge=1, le=1_048_576, description="maximum megabytes of all files of one owner"
    )
    max_file_chars: int = Field(
        400_000,
        ge=1_000,
        le=4_000_000,
        description="maximum length of the text in one attached file, in Unicode code points",
    )
    cache_dir: Path | None = Field(
        None, description="folder for downloaded models; empty: the user's cache folder"
    )
    contact: str = Field(
        "",
        max_length=200,
        description="whom people ask for help, such as an e-mail address or a URL; shown where a "
        "password was forgotten. Empty: whoever runs the site",
    )
    offline_page: bool = Field(
        True,
        description="whether browsers keep a page that is shown when there is no connection; false "
        "also takes it back from those that have it",
    )
    retention_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="days without use after which `prune` deletes a conversation; 0: never",
    )
    metrics_token: str = Field(
        "",
        pattern=r"^([!-~]{16,})?$",
        description="bearer token of 16 characters or more that opens `/metrics` from anywhere",
    )
    metrics_allow: tuple[str, ...] = Field(
        ("127.0.0.0/8", "::1"),
        description="addresses or networks, comma-separated, that may read `/metrics`",
    )
    worker_metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="port on which `runworker` serves its own `/metrics`; 0: none",
    )
    worker_metrics_host: str = Field(
        "127.0.0.1", description="address on which `runworker` serves its own `/metrics`"
    )
    upstream_url: str = Field(
        "",
        description="base URL of an OpenAI-compatible server that answers, in place of a model in "
        "this process, such as `http://host:8000/v1`",
    )
    upstream_key: str = Field(
        "",
        pattern=r"^[!-~]*$",
        repr=False,
        description="bearer token for the upstream server, printable ASCII without spaces",
    )
    upstream_model: str = Field(
        "",
        max_length=500,
        description="name of the upstream server's model; empty: `CHATSTREAM_MODEL`, else the "
        "first that it lists",
    )
    upstream_api: Literal["auto", "chat", "responses"] = Field(
        "auto",
        description="API by which the upstream server is asked: `chat` (Chat Completions) or "
        "`responses`; auto: Chat Completions, which carries more, unless the server has only "
        "Responses or is OpenAI's",
    )
    upstream_continues: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="whether the upstream server continues an assistant message that ends a "
        "conversation; auto: yes if it is vLLM, SGLang, llama.cpp or Ollama, else no",
    )
    upstream_patience: float = Field(
        120,
        ge=0,
        le=86_400,
        description="maximum seconds that a claimed response waits for an upstream server that is "
        "away or busy",
    )
    prefix: str = Field(
        DEFAULT_REDIS_PREFIX,
        max_length=40,
        pattern=r"^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$",
        description="beginning of the names of all keys and channels in Redis: letters and digits "
        "with single `.`, `_` or `-` between them; each site on one Redis needs its own",
    )
    tracing: bool = Field(
        False, description="OpenTelemetry traces, sent where the `OTEL_*` variables say"
    )

    @property
    def conversation_chars(self) -> int:
        """Return `max_conversation_chars`, or what its 0 stands for."""
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
        if not value:
            return value
        url = values.base_url(value, key_setting=f"{PREFIX}UPSTREAM_KEY")
        if info.data.get("engine", LOCAL_ENGINE) != LOCAL_ENGINE:
            raise ValueError(f"{PREFIX}ENGINE is set, too; only one of them chooses the engine")
        return url

    @field_validator("trusted_proxies", "metrics_allow", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return values.comma_separated(value) if isinstance(value, str) else value

    @field_validator("trusted_proxies", "metrics_allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(values.network(text) for text in value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(values.origin(text) for text in value)

    @field_validator("cache_dir", "chat_template", mode="before")
    @classmethod
    def _no_empty_path(cls, value: object) -> object:
        return value or None
