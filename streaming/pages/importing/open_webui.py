"""Open WebUI's export: a list of chats, whose history is a tree of messages."""

from __future__ import annotations

import html
import re
from collections import Counter
from typing import Any

from streaming.pages.importing import values
from streaming.pages.importing.bounds import TITLE_CHARS, Unfit
from streaming.pages.importing.tree import ANSWER, USER, Node, fill
from streaming.record.drafts import Draft

_DETAILS = re.compile(
    r'<details type="(reasoning|tool_calls|code_interpreter)"([^>]*)>'
    r"(?:\s*<summary>[^<]*</summary>)?(.*?)</details>",
    re.DOTALL,
)
_NAME = re.compile(r'\bname="([^"]*)"')


def draft_of(entry: dict[str, Any]) -> Draft:
    """Return a chat of the export. Raises Unfit."""
    chat = values.mapping(entry.get("chat")) or entry
    key = values.text(entry.get("id")) or values.text(chat.get("id"))
    if not key:
        raise Unfit("malformed")
    title = values.text(entry.get("title")) or values.text(chat.get("title"))
    draft = Draft(
        "open-webui",
        key,
        values.line(title, TITLE_CHARS),
        values.moment(entry.get("created_at")) or values.moment(chat.get("timestamp")),
        values.moment(entry.get("updated_at")),
    )
    reader = _Reader()
    history = values.mapping(chat.get("history"))
    tree = values.mapping(history.get("messages"))
    if tree:
        nodes = [reader.node(id_, values.mapping(message)) for id_, message in tree.items()]
        shown = values.text(history.get("currentId"))
    else:  # of earlier versions: one path
        nodes = []
        for number, message in enumerate(values.items(chat.get("messages"))):
            fields = {**values.mapping(message), "parentId": str(number - 1) if number else None}
            nodes.append(reader.node(str(number), fields))
        shown = str(len(nodes) - 1)
    system = values.mapping(chat.get("params")).get("system") or chat.get("system")
    texts = [values.text(system).strip(), *reader.instructions]
    draft.instructions = "\n\n".join(text for text in dict.fromkeys(texts) if text) or None
    draft.kept = {name: entry.get(name) is True for name in ("pinned", "archived")}
    fill(draft, nodes, shown)
    draft.replaced = dict(reader.replaced)
    return draft


class _Reader:
    def __init__(self) -> None:
        self.replaced: Counter[str] = Counter()
        self.instructions: list[str] = []

    def node(self, id_: str, message: dict[str, Any]) -> Node:
        """Return a message of the tree; one that says nothing has no role."""
        node = Node(values.text(id_), values.text(message.get("parentId")) or None)
        node.created_at = values.moment(message.get("timestamp"))
        text = self._content(message.get("content"))
        role = message.get("role")
        if role == "system":
            self.instructions.append(text.strip())
            return node
        parts = [text, *self._files(message), *self._error(message)]
        if role == "user":
            node.text = "\n\n".join(part for part in parts if part)
            node.role = USER if node.text else ""
            return node
        parts[0], node.reasoning = self._thought_apart(text)
        node.text = "\n\n".join(part for part in parts if part)
        node.model = values.label(message.get("model"), "")
        if role not in ("assistant", "tool") and node.text:
            self.replaced["unknown"] += 1
            node.text = f"[{values.label(role, 'unknown')}]\n\n{node.text}"
        node.role = ANSWER if node.text or node.reasoning else ""
        return node

    def _content(self, content: Any) -> str:
        if isinstance(content, str):
            return values.text(content)
        said = []
        for part in map(values.mapping, values.items(content)):
            if part.get("type") == "text":
                said.append(values.text(part.get("text")))
                continue
            kind = values.text(part.get("type"))
            name = "image" if kind == "image_url" else values.label(kind, "unknown")
            self.replaced[name] += 1
            said.append(f"[{name}]")
        return "\n\n".join(said)

    def _files(self, message: dict[str, Any]) -> list[str]:
        named = []
        for file in map(values.mapping, values.items(message.get("files"))):
            kind = "image" if file.get("type") == "image" else "file"
            self.replaced[kind] += 1
            name = values.label(file.get("name"), "")
            named.append(f"[{kind}: {name}]" if name else f"[{kind}]")
        return named

    def _error(self, message: dict[str, Any]) -> list[str]:
        error = message.get("error")
        said = values.line(values.mapping(error).get("content"), 1000)
        return [f"[error] {said}".strip()] if error else []

    def _thought_apart(self, text: str) -> tuple[str, str]:
        """Return an answer without its thoughts, and these; calls of tools are named."""
        thoughts: list[str] = []

        def taken(found: re.Match[str]) -> str:
            kind, attributes, inside = found.groups()
            if kind == "reasoning":
                thoughts.append(_unquoted(html.unescape(inside)))
                return ""
            name = _NAME.search(attributes)
            called = values.label(html.unescape(name[1]), "tool") if name else "code"
            self.replaced["tool"] += 1
            return f"[tool: {called}]\n\n{inside.strip()}\n"

        rest = _DETAILS.sub(taken, text).strip()
        return rest, "\n\n".join(thought for thought in thoughts if thought)


def _unquoted(text: str) -> str:
    """Return a thought without the marks of the quotation in which it is kept."""
    return "\n".join(re.sub(r"^> ?", "", line) for line in text.strip().split("\n")).strip()
