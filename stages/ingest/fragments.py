"""Message trees that were exported flat, one message for each record: put together again once the whole file is read."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import isnan
from typing import Any, NamedTuple

from stages.ingest.conversation import Record
from stages.ingest.stage import Repair

ROOT_FIELD = "prompt"


class Fragment(NamedTuple):
    """A message that names the message it replies to."""

    record: int
    byte_offset: int
    message: Record
    repairs: Sequence[Repair] = ()  # what was done to read it


class Tree(NamedTuple):
    """Messages under one root, in the nested form of Open Assistant's trees."""

    root: dict[str, Any]
    records: dict[str, Fragment]  # message id -> where it stands


class Orphan(NamedTuple):
    """A message that belongs to no tree of the file."""

    fragment: Fragment
    reason: str
    field: str


def assembled(fragments: Iterable[Fragment]) -> tuple[list[Tree], list[Orphan]]:
    """Trees in the order of their roots, replies in the order of the file; and messages whose parent is not in the file."""
    by_id: dict[str, Fragment] = {}
    orphans: list[Orphan] = []
    for fragment in fragments:
        name = fragment.message.get("message_id")
        if not isinstance(name, str) or name in by_id:
            orphans.append(Orphan(fragment, "duplicate_message" if name in by_id else "no_message_id", "message_id"))
        else:
            by_id[name] = fragment
    children: dict[str, list[str]] = defaultdict(list)
    roots: list[str] = []
    for name, fragment in by_id.items():
        parent = fragment.message.get("parent_id")
        if parent in by_id:
            children[parent].append(name)
        elif parent in (None, "") or (isinstance(parent, float) and isnan(parent)):  # as tables hold null
            roots.append(name)
    trees = [_tree(root, by_id, children) for root in roots]
    placed = {name for tree in trees for name in tree.records}
    lost = (fragment for name, fragment in by_id.items() if name not in placed)
    return trees, orphans + [Orphan(fragment, "missing_parent", "parent_id") for fragment in lost]


def _tree(root: str, by_id: dict[str, Fragment], children: dict[str, list[str]]) -> Tree:
    """Without recursion, so that no tree is too deep; what a cycle holds is under no root."""
    nodes: dict[str, dict[str, Any]] = {}
    waiting = [root]
    while waiting:
        name = waiting.pop()
        nodes[name] = {**by_id[name].message, "replies": []}
        waiting.extend(children[name])
    for name, node in nodes.items():
        node["replies"] = [nodes[child] for child in children[name]]
    return Tree(nodes[root], {name: by_id[name] for name in nodes})
