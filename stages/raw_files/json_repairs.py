"""Records that people's hands and other programs wrote: commas behind last elements, comments, Python's own notation,
another encoding than UTF-8.

What comes out is Mended: it names what was done, and what is wrong with the record where that may not be done.
"""

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from stages.raw_files.byte_stream import Damage
from stages.raw_files.repair_names import COMMAS_REMOVED, COMMENTS_REMOVED, PYTHON_READ, WINDOWS_1252, FileRepair

# A text that is never closed goes to the end at once: else each quotation mark in it would be tried as a beginning.
STRING = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
COMMENT = r"//[^\n\r]*+|/\*(?:[^*]++|\*(?!/))*+\*/"
STRING_OR_TRAILING_COMMA = re.compile(rf"{STRING}|,(?=\s*+[}}\]])", re.DOTALL)
STRING_OR_COMMENT = re.compile(rf"{STRING}|{COMMENT}|/\*.*\Z", re.DOTALL)  # the last: a comment that is never closed
COMMENT_LINE = re.compile(rf"(?:\s*+(?:{COMMENT}))++\s*+\Z".encode())  # or several of them
PYTHON_STRING = r"'(?:[^'\\]++|\\.)*+(?:'|\\?\Z)|" + STRING
NUMPY = re.compile(rf"{PYTHON_STRING}|\}}(?=\s++\{{)|array\((?=\[)|,\s*+dtype=object\)", re.DOTALL)
BETWEEN_RECORDS = "\ufeff \t\r\n"  # a byte order mark stands in the middle where files were put one behind the other
MAX_PYTHON_CHARS = 1 << 20  # Python's parser takes a few hundred bytes for each


class Mended(dict[str, Any]):
    """An object that is read although its text is at fault: what was done, and the reason and fault it has else."""

    def __init__(
        self, value: dict[str, Any], repairs: tuple[FileRepair, ...], fault: str, reason: str = "invalid_json"
    ) -> None:
        super().__init__(value)
        self.repairs = repairs
        self.fault = fault
        self.reason = reason

    @property
    def is_certain(self) -> bool:
        """Whether nothing else can have been meant; bytes may be of any encoding."""
        return WINDOWS_1252 not in self.repairs


def record_in(text: str) -> str:
    """A line without a comma or a byte order mark around its record."""
    return text.strip(BETWEEN_RECORDS).removesuffix(",").rstrip(BETWEEN_RECORDS)


def mended(text: str, decode: Callable[[str], object], fault: str) -> Mended | Damage | None:
    """The object in `text` by the first repair that makes it whole, or what else is wrong with it then; None where no
    repair makes it whole."""
    for without, repairs in _candidates(text):
        try:
            value = decode(without)
        except Damage as damage:
            return damage
        except (RecursionError, ValueError):
            continue
        return Mended(value, repairs, fault) if isinstance(value, dict) else None
    value = _python_object(text)
    return Mended(value, (PYTHON_READ,), fault) if value is not None else None


def _candidates(text: str) -> Iterator[tuple[str, tuple[FileRepair, ...]]]:
    """The text without what is no JSON, the fewest repairs first."""
    without_commas = _without(STRING_OR_TRAILING_COMMA, text)
    if without_commas != text:
        yield without_commas, (COMMAS_REMOVED,)
    plain = record_in(without_comments(text))
    if plain == text:
        return
    yield plain, (COMMENTS_REMOVED,)
    without_both = _without(STRING_OR_TRAILING_COMMA, plain)
    if without_both != plain:
        yield without_both, (COMMENTS_REMOVED, COMMAS_REMOVED)


def without_comments(text: str) -> str:
    """The text without // and /* */ comments; those inside of strings stay."""
    return _without(STRING_OR_COMMENT, text) if "//" in text or "/*" in text else text


def _without(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda found: found[0] if found[0].startswith('"') else " " * (found[0] != ","), text)


def without_numpy(text: str) -> str:
    """Python's notation as NumPy shows lists of objects, with the commas that it leaves out."""
    return NUMPY.sub(lambda found: found[0] if found[0][0] in "\"'" else "}," if found[0] == "}" else "", text)


def python_value(text: str) -> Any:
    """What Python's notation of lists, dicts, texts, numbers, True, False and None says, as JSON would have it.

    Raises ValueError where it is none, names a key twice, or holds what JSON cannot.
    """
    if len(text) > MAX_PYTHON_CHARS:
        raise ValueError("too long")
    try:
        with warnings.catch_warnings(action="ignore"):  # of backslashes that escape nothing
            tree = ast.parse(text, mode="eval").body
        for node in ast.walk(tree):
            keys = (
                [key.value for key in node.keys if isinstance(key, ast.Constant)] if isinstance(node, ast.Dict) else []
            )
            if not all(isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
                raise ValueError("a key that stands twice, or is no text")
        return json.loads(json.dumps(ast.literal_eval(tree)))
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from error


def _python_object(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        value = python_value(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def in_windows_1252(data: bytes) -> str | None:
    """Bytes that are no UTF-8 as a program on Windows would read them; None where they are neither, or both in parts."""
    try:
        return None if not data.decode("utf-8", "ignore").isascii() else data.decode("cp1252")
    except UnicodeDecodeError:  # five of the bytes have no meaning
        return None
