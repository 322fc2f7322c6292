"""The protocol as an AsyncAPI 3.0 document, made from `streaming.protocol.events`.

`python -m streaming.protocol.asyncapi > docs/asyncapi.yaml` writes it anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from streaming.protocol.base import PROTOCOL_VERSION, WireModel
from streaming.protocol.events import client_events, server_events, type_of

_REF = "#/components/schemas/{model}"
_MESSAGES = "#/channels/chat/messages/"


def document() -> dict[str, Any]:
    """Return the whole document as a mapping, in the order in which it is written."""
    sent, received = client_events(), server_events()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "ChatStream",
            "version": f"{PROTOCOL_VERSION}.0.0",
            "description": "Made from streaming/protocol/events.py; docs/protocol.md explains it. "
            "Events of responses are those of Open Responses.",
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:8000", "protocol": "ws", "security": _security()}},
        "channels": {
            "chat": {
                "address": "/ws/chat/",
                "description": "One JSON object per text frame.",
                "messages": {
                    model.__name__: {"$ref": f"#/components/messages/{model.__name__}"}
                    for model in (*sent, *received)
                },
            }
        },
        "operations": {
            "clientSends": _operation("receive", "What clients send.", sent),
            "serverSends": _operation("send", "What the server sends.", received),
        },
        "components": {
            "messages": {model.__name__: _message(model) for model in (*sent, *received)},
            "schemas": _schemas(sent, received),
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer"},
                "session": {"type": "httpApiKey", "name": "sessionid", "in": "cookie"},
            },
        },
    }


def text() -> str:
    """Return the document as YAML."""
    return yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=100)


def _security() -> list[dict[str, str]]:
    return [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("apiKey", "session")]


def _operation(action: str, summary: str, models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/chat"},
        "summary": summary,
        "messages": [{"$ref": _MESSAGES + model.__name__} for model in models],
    }


def _message(model: type[BaseModel]) -> dict[str, Any]:
    return {"name": type_of(model), "payload": {"$ref": _REF.format(model=model.__name__)}}


def _schemas(
    sent: Iterable[type[BaseModel]], received: Iterable[type[BaseModel]]
) -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    for models, complete in ((sent, False), (received, True)):
        _, found = models_json_schema([(m, "validation") for m in models], ref_template=_REF)
        for name, schema in found["$defs"].items():
            schemas[name] = _plain(schema, without=("title", "default") if complete else ("title",))
            if complete:
                # The server sends all fields but those that may be absent; a later one may send
                # more.
                absent = may_be_absent(name)
                schemas[name]["required"] = [
                    field for field in schema["properties"] if field not in absent
                ]
    return dict(sorted(schemas.items()))


def may_be_absent(name: str) -> set[str]:
    """Return the fields of a model of the server's, by its name, that are left out where they would
    be null."""
    model = next(model for model in _subclasses(WireModel) if model.__name__ == name)
    return {name for name, field in model.model_fields.items() if field.exclude_if}


def _subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in model.__subclasses__():
        yield each
        yield from _subclasses(each)


def _plain(schema: dict[str, Any], without: tuple[str, ...]) -> dict[str, Any]:
    """Return a model's schema without the titles, which repeat the names."""
    plain = {name: value for name, value in schema.items() if name != "title"}
    plain["properties"] = {
        field: {name: value for name, value in about.items() if name not in without}
        for field, about in schema["properties"].items()
    }
    if "description" in plain:
        plain["description"] = inspect.cleandoc(plain["description"])
    return plain


if __name__ == "__main__":
    print(text(), end="")
