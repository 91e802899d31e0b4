"""Open Assistant's message trees: every way from the first prompt to a last answer is a conversation, or the best one."""

from collections.abc import Iterator, Mapping
from math import inf, isnan
from typing import Any

from stages.ingest.conversation import Conversation, Record, Rules, Turn, checked_turns
from stages.ingest.turns import ROLES
from stages.ingest.unusable import Unusable

Places = tuple[str, ...]
Path = list[tuple[str, object]]  # where a message stands in the record, and the message, from the root on


def convert_tree(record: Record, fields: Mapping[str, str], rules: Rules) -> list[Conversation | Unusable]:
    """A conversation for each answer that no later answer follows, from the root of the tree to that answer.

    Prompts that nobody answered are left off under the repair `trailing_turns_removed`.
    """
    return list(tree_conversations(fields["tree"], record[fields["tree"]], rules).values())


def tree_conversations(name: str, root: object, rules: Rules) -> dict[Places, Conversation | Unusable]:
    """Conversations by the places of their messages in the tree; the tree itself stands at `name`."""
    found: dict[Places, Conversation | Unusable] = {}
    for path in _paths_to_leaves(name, root, best_only=rules.tree_paths == "best"):
        places = tuple(place for place, _ in path)
        try:
            turns = [_turn(place, node) for place, node in path]
            checked, repairs = checked_turns(turns, lambda number, places=places: f"{places[number]}.text", rules)  # type: ignore[misc]
            found.setdefault(places[: len(checked)], Conversation(checked, repairs=repairs))
        except Unusable as unusable:
            found[places] = unusable
    inner = {places[:length] for places in found for length in range(1, len(places))}
    return {places: made for places, made in found.items() if places not in inner}


def _paths_to_leaves(name: str, root: object, *, best_only: bool) -> Iterator[Path]:
    """Paths in the order of the replies; without recursion, so that no tree is too deep."""
    waiting: list[Path] = [[(name, root)]]
    while waiting:
        path = waiting.pop()
        place, node = path[-1]
        replies = node.get("replies") if isinstance(node, dict) else None
        if not replies or not isinstance(replies, list):
            yield path
        else:
            later = [[*path, (f"{place}.replies[{number}]", reply)] for number, reply in enumerate(replies)]
            waiting.extend([min(later, key=_rank)] if best_only else reversed(later))


def _rank(path: Path) -> float:
    """Rank of the last message among its siblings, 0 the best; one without a rank, or deleted, comes after all that have one."""
    node = path[-1][1]
    rank = node.get("rank") if isinstance(node, dict) and not node.get("deleted") else None
    return rank if isinstance(rank, int | float) and not isnan(rank) else inf


def _turn(place: str, node: object) -> Turn:
    if not isinstance(node, dict):
        raise Unusable("not_a_turn", place, node)
    role = ROLES.get(str(node.get("role")).lower())
    if role not in ("user", "assistant", "system"):
        raise Unusable("unknown_role", f"{place}.role", node.get("role"))
    if node.get("deleted"):
        raise Unusable("deleted_message", f"{place}.deleted", True)
    return Turn(role, _text(place, node))


def _text(place: str, node: Mapping[str, Any]) -> str:
    text = node.get("text")
    if not isinstance(text, str):
        raise Unusable("not_text", f"{place}.text", text)
    return text
