"""What somebody may have meant by a name that is not there."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], *, before: str = "", behind: str = "") -> str:
    """The question between `before` and `behind`, where another known name is like this one; else nothing."""
    near = get_close_matches(name, [one for one in known if one != name], n=1)
    return f"{before}did you mean {near[0]}?{behind}" if near else ""
