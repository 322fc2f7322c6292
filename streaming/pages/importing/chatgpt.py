"""ChatGPT's export: `conversations.json`, a list of trees of messages with parts of many kinds."""

from __future__ import annotations

from collections import Counter
from typing import Any

from streaming.pages.importing import values
from streaming.pages.importing.bounds import TITLE_CHARS, Unfit
from streaming.pages.importing.tree import ANSWER, NOTHING, USER, Node, fill
from streaming.record.drafts import Draft

_NAMES = {
    "image_asset_pointer": "image",
    "audio_asset_pointer": "audio",
    "real_time_user_audio_video_asset_pointer": "audio",
    "video_container_asset_pointer": "video",
}


def draft_of(chat: dict[str, Any]) -> Draft:
    """Return a conversation of the export. Raises Unfit."""
    key = values.text(chat.get("conversation_id")) or values.text(chat.get("id"))
    mapping = chat.get("mapping")
    if not key or not isinstance(mapping, dict):
        raise Unfit("malformed")
    draft = Draft(
        "chatgpt",
        key,
        values.line(chat.get("title"), TITLE_CHARS),
        values.moment(chat.get("create_time")),
        values.moment(chat.get("update_time")),
    )
    reader = _Reader()
    nodes = [reader.node(id_, values.mapping(entry)) for id_, entry in mapping.items()]
    draft.instructions = "\n\n".join(dict.fromkeys(reader.instructions)) or None
    draft.kept = {"archived": chat.get("is_archived") is True}
    fill(draft, nodes, values.text(chat.get("current_node")))
    draft.replaced = dict(reader.replaced)
    return draft


class _Reader:
    def __init__(self) -> None:
        self.replaced: Counter[str] = Counter()
        self.instructions: list[str] = []

    def node(self, id_: str, entry: dict[str, Any]) -> Node:
        """Return an entry of the tree; one that has nothing to show has the role NOTHING."""
        message = values.mapping(entry.get("message"))
        metadata = values.mapping(message.get("metadata"))
        author = values.mapping(message.get("author"))
        node = Node(values.text(id_), values.text(entry.get("parent")) or None)
        node.created_at = values.moment(message.get("create_time"))
        content = values.mapping(message.get("content"))
        kind = content.get("content_type")
        if kind == "user_editable_context":
            self._instruct(content.get("user_profile"), content.get("user_instructions"))
            return node
        text, reasoning = self._content(content, message)
        text = "\n\n".join(part for part in (text, *self._attached(metadata, text)) if part)
        role = author.get("role")
        if role == "system":
            self._instruct(text)
        elif metadata.get("is_visually_hidden_from_conversation") is True or kind in _HIDDEN:
            self.replaced["hidden"] += bool(text)
        elif role == "user" and text:
            node.role, node.text = USER, text
        elif role in ("assistant", "tool") and (text or reasoning):
            node.role, node.text, node.reasoning = ANSWER, text, reasoning
            node.model = values.label(metadata.get("model_slug"), "")
            if role == "tool":
                name = values.label(author.get("name"), "tool")
                node.text, node.model = f"[{name}]\n\n{text}" if text else "", ""
        elif text:
            self.replaced["unknown"] += 1
            node.role, node.text = ANSWER, f"[{values.label(role, 'unknown')}]\n\n{text}"
        if node.role == NOTHING:
            node.text = ""
        return node

    def _instruct(self, *texts: Any) -> None:
        self.instructions += [found for each in texts if (found := values.text(each).strip())]

    def _content(self, content: dict[str, Any], message: dict[str, Any]) -> tuple[str, str]:
        """Return what a message says, and what was thought."""
        kind = content.get("content_type")
        said = values.text(content.get("text"))
        match kind:
            case "text" | "multimodal_text":
                parts = (self._part(part) for part in values.items(content.get("parts")))
                return "\n\n".join(part for part in parts if part), ""
            case "code":
                language = values.text(content.get("language"))
                code = values.fenced(said, "" if language == "unknown" else language)
                recipient = values.label(message.get("recipient"), "all")
                return (code if recipient == "all" else f"[{recipient}]\n\n{code}") * bool(said), ""
            case "execution_output":
                return values.fenced(said) if said else "", ""
            case "thoughts":
                return "", "\n\n".join(map(_thought, values.items(content.get("thoughts"))))
            case "reasoning_recap":
                return "", ""  # how long it thought
            case "tether_quote" | "tether_browsing_display":
                self.replaced["page"] += 1
                title = values.line(content.get("title"), 200)
                return f"[page] {title}\n\n{said or values.text(content.get('result'))}".strip(), ""
            case "system_error":
                return f"[error] {values.line(content.get('name'), 200)}\n\n{said}".strip(), ""
            case None:
                return "", ""
        name = values.label(kind, "unknown")
        self.replaced[name] += 1
        return f"[{name}]\n\n{said}".strip(), ""

    def _part(self, part: Any) -> str:
        if isinstance(part, str):
            return values.text(part)
        fields = values.mapping(part)
        if not fields:
            return ""
        kind = fields.get("content_type")
        if kind == "audio_transcription":
            return values.text(fields.get("text"))
        name = _NAMES.get(str(kind)) or values.label(kind, "unknown")
        self.replaced[name] += 1
        return f"[{name}]"

    def _attached(self, metadata: dict[str, Any], text: str) -> list[str]:
        named = []
        for file in map(values.mapping, values.items(metadata.get("attachments"))):
            is_image = values.text(file.get("mime_type")).startswith("image/")
            if is_image and "[image]" in text:
                continue  # it is one of the parts
            kind = "image" if is_image else "file"
            self.replaced[kind] += 1
            named.append(f"[{kind}: {values.label(file.get('name'), '')}]")
        return named


_HIDDEN = ("model_editable_context",)


def _thought(value: Any) -> str:
    fields = values.mapping(value)
    parts = (values.text(fields.get(name)).strip() for name in ("summary", "content"))
    return "\n\n".join(part for part in parts if part)
