"""Conversations as ChatGPT exports them: a `mapping` of messages that name their parent, of which one path is shown."""

from collections.abc import Mapping
from typing import Any

from stages.ingest.conversation import Conversation, Record, Rules, value_of
from stages.ingest.turns import convert_turns
from stages.ingest.unusable import Unusable

MEDIA = "multimodal_text"


def convert_export(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """The path to the node that is shown: what was asked or answered otherwise before stands on other paths."""
    field = fields["mapping"]
    nodes = record[field]
    if not isinstance(nodes, dict) or not all(isinstance(node, dict) for node in nodes.values()):
        raise Unusable("no_turns", field, nodes)
    path = _path(nodes, _shown(nodes, value_of(record, fields, "shown")))
    turns = [turn for name in path if (turn := _turn(nodes[name], f"{field}.{name}"))]
    return convert_turns({**record, field: turns}, {**fields, "turns": field}, rules)


def _shown(nodes: Mapping[str, Any], stated: object) -> str:
    """The node that the export names, or the only one that nothing follows."""
    parents = {node.get("parent") for node in nodes.values()}
    ends = [stated] if isinstance(stated, str) and stated in nodes else [name for name in nodes if name not in parents]
    if len(ends) != 1:
        raise Unusable("no_turns", "current_node", stated)
    return ends[0]


def _path(nodes: Mapping[str, Any], end: str) -> list[str]:
    path = [end]
    while (parent := nodes[path[-1]].get("parent")) is not None:
        if parent not in nodes or len(path) > len(nodes):
            raise Unusable("missing_parent", f"mapping.{path[-1]}.parent", parent)
        path.append(parent)
    return path[::-1]


def _turn(node: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """A message in OpenAI's form; None for a node without one, and for the empty one of the system's at the root."""
    message = node.get("message")
    if message is None:
        return None
    author, content = (message.get(name) if isinstance(message, dict) else None for name in ("author", "content"))
    if not isinstance(author, dict) or not isinstance(content, dict):
        raise Unusable("not_a_turn", f"{where}.message", message)
    kind, parts = content.get("content_type"), content.get("parts")
    if kind != "text" or not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise Unusable(
            "image_content" if kind == MEDIA else "unknown_content_part", f"{where}.message.content", content
        )
    text = "\n".join(parts)
    if not text and author.get("role") == "system":
        return None
    return {"role": author.get("role"), "content": text, "weight": message.get("weight")}
