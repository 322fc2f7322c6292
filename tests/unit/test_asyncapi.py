"""`docs/asyncapi.yaml` is what the models say, and an AsyncAPI 3.0 document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from streaming.protocol import asyncapi
from streaming.protocol.events import client_events, server_events, type_of
from tests.support.processes import ROOT


def committed() -> str:
    return (ROOT / "docs" / "asyncapi.yaml").read_text(encoding="utf-8")


def everything(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a document."""
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from everything(child)
    elif isinstance(node, list):
        for child in node:
            yield from everything(child)


def resolve(document: dict[str, Any], reference: str) -> Any:
    assert reference.startswith("#/"), reference
    node: Any = document
    for part in reference[2:].split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def test_the_committed_document_is_the_generated_one() -> None:
    assert committed() == asyncapi.text(), (
        "python -m streaming.protocol.asyncapi > docs/asyncapi.yaml"
    )


def test_it_is_an_asyncapi_document() -> None:
    """The rules of AsyncAPI 3.0 for what is used here."""
    document = yaml.safe_load(committed())
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document["info"])
    allowed = "asyncapi id info servers defaultContentType channels operations components"
    assert set(document) <= set(allowed.split())
    for server in document["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for channel in document["channels"].values():
        assert channel["address"].startswith("/")
        assert channel["messages"]
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = resolve(document, operation["channel"]["$ref"])
        for message in operation["messages"]:
            # An operation's messages are its channel's, not the components'.
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
            assert message["$ref"].rsplit("/", 1)[1] in channel["messages"]
    components = document["components"]
    for kind in ("messages", "schemas", "securitySchemes"):
        assert all(re.fullmatch(r"[a-zA-Z0-9.\-_]+", name) for name in components[kind])
    for scheme in components["securitySchemes"].values():
        assert scheme["type"] in ("http", "httpApiKey")
    for schema in components["schemas"].values():
        assert schema["type"] == "object"
        assert set(schema.get("required", ())) <= set(schema["properties"])


def test_every_reference_leads_somewhere() -> None:
    document = yaml.safe_load(committed())
    references = [node["$ref"] for node in everything(document) if "$ref" in node]
    assert len(references) > 30
    for reference in references:
        assert isinstance(resolve(document, reference), dict)


def test_it_has_every_event_both_ways() -> None:
    document = yaml.safe_load(committed())
    ways = {
        "clientSends": client_events(),
        "serverSends": server_events(),
    }
    for way, models in ways.items():
        named = [m["$ref"].rsplit("/", 1)[1] for m in document["operations"][way]["messages"]]
        assert named == [model.__name__ for model in models]
        messages = document["components"]["messages"]
        assert [messages[name]["name"] for name in named] == [type_of(model) for model in models]
    schemas = document["components"]["schemas"]
    assert "sequence_number" in schemas["OutputTextDelta"]["required"]
    assert schemas["TextExtension"]["required"] == ["offset"]  # the other one may be absent
    assert set(schemas["TextExtension"]["properties"]) == {"offset", "reasoning_ms"}
