"""Open Assistant's message trees: every way from the first prompt to a last answer is a conversation, or the best one."""

from collections.abc import Iterator, Mapping
from math import inf, isnan
from typing import Any

from stages.ingest.conversation import Conversation, Record, Rules, Turn, checked_turns
from stages.ingest.flat import weight_of
from stages.ingest.spellings import spelt_so
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
    """Conversations and faults by the places of their messages in the tree; the tree itself stands at `name`."""
    made: dict[Places, Conversation] = {}
    faults: dict[Places, Unusable] = {}
    for path in _paths_to_leaves(name, root, best_only=rules.tree_paths == "best"):
        places, conversation, fault = _read(path, rules)
        if fault:
            faults[tuple(place for place, _ in path)] = fault
        if conversation:
            made.setdefault(places, conversation)
    inner = {places[:length] for places in made for length in range(1, len(places))}
    return {places: one for places, one in made.items() if places not in inner} | faults


def _read(path: Path, rules: Rules) -> tuple[Places, Conversation | None, Unusable | None]:
    """The conversation of a path, or the one that ends before its first fault; and that fault, if there is one."""
    first_fault: Unusable | None = None
    while path:
        places = tuple(place for place, _ in path)
        turns: list[Turn] = []
        weights: list[float | None] = []
        looked_at: list[int] = []

        def place_of(number: int, places: Places = places, looked_at: list[int] = looked_at) -> str:
            looked_at.append(number)
            return f"{places[number]}.text"

        try:
            for place, node in path:
                turn, weight = _turn(place, node)
                turns.append(turn)
                weights.append(weight)
            checked, repairs = checked_turns(turns, place_of, rules)
            end = max(number for number, turn in enumerate(turns) if turn.role == "assistant") + 1
            return places[:end], Conversation(checked, repairs=repairs, weight=weights[end - 1]), first_fault
        except Unusable as fault:
            first_fault = first_fault or fault
            if fault.reason == "unanswered_turn":  # the answer before it may not stand alone
                break
            path = path[: looked_at[-1] if len(turns) == len(path) else len(turns)]
    return (), None, first_fault


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
    rank = node.get("rank") if isinstance(node, dict) and not _is_deleted(node) else None
    try:
        number = float(rank) if isinstance(rank, int | float | str) else inf
    except (ValueError, OverflowError):
        return inf
    return inf if isnan(number) else number


def _is_deleted(node: Mapping[str, Any]) -> bool:
    """Tables of text hold the word."""
    stated = node.get("deleted")
    return stated.strip().lower() not in ("", "false", "f", "no", "0") if isinstance(stated, str) else bool(stated)


def _turn(place: str, node: object) -> tuple[Turn, float | None]:
    """A message, and what a conversation weighs that it is the last one of."""
    if not isinstance(node, dict):
        raise Unusable("not_a_turn", place, node)
    role = ROLES.get(str(node.get("role")).lower())
    if role not in ("user", "assistant", "system"):
        raise Unusable("unknown_role", f"{place}.role", node.get("role"))
    if _is_deleted(node):
        raise Unusable("deleted_message", f"{place}.deleted", node["deleted"])
    return Turn(role, _text(place, node)), _weight(place, node)


def _weight(place: str, node: Mapping[str, Any]) -> float | None:
    name = spelt_so("weight", node)
    field = f"{place}.{name}"
    return weight_of({field: node[name]}, field) if name else None


def _text(place: str, node: Mapping[str, Any]) -> str:
    text = node.get("text")
    if not isinstance(text, str):
        raise Unusable("not_text", f"{place}.text", text)
    return text
