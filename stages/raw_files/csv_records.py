"""Rows of a CSV file with a header, read strictly: a row with broken quotes costs itself and not the rows after it."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from stages.raw_files.byte_stream import Damage, lines_together
from stages.raw_files.json_members import TEXTS
from stages.raw_files.json_repairs import Mended, in_windows_1252
from stages.raw_files.repair_names import WINDOWS_1252

Found = tuple[int, object]
Line = tuple[int, bytes | Damage]

DELIMITERS = ",;\t|"
KNOWN_COLUMNS = TEXTS | {"text", "messages"}
STATED_DELIMITER = re.compile(rb'\s*"?sep=(.)"?\s*', re.IGNORECASE)  # the first line that Excel reads and writes
QUOTE = b'"'
MAX_ROW_LINES = 200  # lines looked at to see whether a row starts there


class Form(NamedTuple):
    """How the rows of a file are written, in the words of `csv.reader`."""

    delimiter: str
    skipinitialspace: bool = False


def form_of_header(header: bytes, *, prefers_tabs: bool = False) -> Form:
    """The delimiter between the most known names of the header line, or else the one that stands there most often; a tab,
    if there is one and these are preferred. Where a space follows each of them, so it does in the rows."""
    delimiter = max(DELIMITERS, key=lambda one: (known_names(header, one), header.count(one.encode())))
    if prefers_tabs and b"\t" in header:
        delimiter = "\t"
    count, with_space = header.count(delimiter.encode()), header.count(f"{delimiter} ".encode())
    return Form(delimiter, 0 < count == with_space)


def known_names(header: bytes, delimiter: str) -> int:
    """How many cells of a header line are names that data sets have."""
    cells = header.decode("utf-8", "replace").lower().split(delimiter)
    return sum(cell.strip(' "\r\n') in KNOWN_COLUMNS for cell in cells)


def csv_rows(chunks: Iterator[bytes], max_record_bytes: int, *, prefers_tabs: bool = False) -> Iterator[Found]:
    """(byte offset, row as a dict by header name) per row, Damage for one that cannot be read; blank lines are no rows.

    Quoted fields may hold line ends. Raises Damage `invalid_header` when the first line is no header, or names a column twice.
    """
    rows = _Lines(chunks, max_record_bytes)
    form, names = _header(rows, prefers_tabs)
    while rows.next_that_is_not_blank():
        for offset, whole in _whole_rows(rows, form, len(names)):
            yield offset, _repeated_header(names) if whole == names else dict(zip(names, whole, strict=False))
        if (first := rows.next_that_is_not_blank()) is None:
            return
        row = _read_row(rows, form, len(names))
        yield first[0], row if isinstance(row, Damage) else _record(names, row, rows)


class _LostRow(Exception):
    """One row is lost; a Damage that is raised, in contrast, is the end of the file."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(damage)
        self.damage = damage


class _Lines:
    """Lines as text for `csv.reader`; remembers those of the row being read, and takes lines back."""

    def __init__(self, chunks: Iterator[bytes], max_record_bytes: int) -> None:
        csv.field_size_limit(max_record_bytes)
        self.taken: list[Line] = []
        self.waiting: list[Line] = []  # the next one last
        self.max_record_bytes = max_record_bytes
        self._source = lines_together(chunks, max_record_bytes)
        self._taken_bytes = 0

    def pull(self) -> Line | None:
        if not self.waiting:
            self.waiting = next(self._source, [])
            self.waiting.reverse()
        return self.waiting.pop() if self.waiting else None

    def next_that_is_not_blank(self) -> Line | None:
        """The line that the next row starts with, still to be read; None at the end."""
        while line := self.pull():
            if isinstance(line[1], Damage) or not line[1].isspace():
                self.give_back([line])
                self.taken, self._taken_bytes = [], 0
                return line
        return None

    def give_back(self, given: list[Line]) -> None:
        self.waiting.extend(reversed(given))

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.pull()
        if line is None:
            raise StopIteration
        self.taken.append(line)
        if isinstance(line[1], Damage):
            raise _LostRow(line[1])
        self._taken_bytes += len(line[1])
        if self._taken_bytes > self.max_record_bytes:
            raise _LostRow(
                Damage("record_too_long", f"a quote stays open for more than {self.max_record_bytes:,} bytes")
            )
        return line[1].decode("utf-8", "surrogateescape")


def _header(rows: _Lines, prefers_tabs: bool) -> tuple[Form, list[str]]:
    """How the rows are written, and the names of their columns; none where there is no line."""
    first = rows.next_that_is_not_blank()
    stated = STATED_DELIMITER.fullmatch(first[1]) if first and isinstance(first[1], bytes) else None
    if stated:
        rows.pull()
        first = rows.next_that_is_not_blank()
    if first is None:
        return Form(","), []
    line = b"" if isinstance(first[1], Damage) else first[1]
    form = Form(stated[1].decode("latin-1")) if stated else form_of_header(line, prefers_tabs=prefers_tabs)
    row = _read_row(rows, form, None)
    fault = row if isinstance(row, Damage) else _bad_bytes(rows)
    if isinstance(row, Damage) or fault:
        raise Damage("invalid_header", f"the header line cannot be read: {fault.detail if fault else ''}")
    names = [name.strip() for name in row]
    if doubled := [name for name, count in Counter(names).items() if name and count > 1]:
        raise Damage("invalid_header", f"column {doubled[0]!r} stands twice in the header")
    return form, names


def _record(names: list[str], row: list[str], rows: _Lines) -> object:
    fault = _bad_bytes(rows)
    if fault is None:
        return _repeated_header(names) if row == names else dict(zip(names, row, strict=False))
    if in_windows_1252(b"".join(line for _, line in rows.taken if isinstance(line, bytes))) is None:
        return fault
    cells = [cell.encode("utf-8", "surrogateescape").decode("cp1252") for cell in row]
    return Mended(dict(zip(names, cells, strict=False)), (WINDOWS_1252,), fault.detail, fault.reason)


def _repeated_header(names: list[str]) -> Damage | dict[str, object]:
    """What a row is that says what the header says, as where files were put one behind the other."""
    is_told = len(names) > 1
    return Damage("repeated_header", "a row that names the columns once more") if is_told else {names[0]: names[0]}


def _whole_rows(rows: _Lines, form: Form, fields: int) -> Iterator[tuple[int, list[str]]]:
    """Rows of the waiting lines by one reader, up to the first that needs a closer look, whose lines are left."""
    waiting, taken = rows.waiting, 0
    reader = csv.reader(_sound_lines(waiting), strict=True, **form._asdict())
    try:
        for row in reader:
            first, taken_before, taken = waiting[-1 - taken], taken, reader.line_num
            if not row:
                continue
            is_long = taken > taken_before + 1 and _end(waiting[-taken]) - first[0] > rows.max_record_bytes
            text = "".join(row)
            if len(row) != fields or is_long or not text or text.isspace():
                taken = taken_before
                return
            yield first[0], row
    except (csv.Error, UnicodeDecodeError, _LostRow):
        return
    finally:
        del waiting[len(waiting) - taken :]


def _end(line: Line) -> int:
    return line[0] + len(line[1]) if isinstance(line[1], bytes) else line[0]


def _sound_lines(waiting: list[Line]) -> Iterator[str]:
    for _, line in reversed(waiting):
        if isinstance(line, Damage):
            raise _LostRow(line)
        yield line.decode()


def _read_row(rows: _Lines, form: Form, fields: int | None) -> list[str] | Damage:
    """The fields of one row; of `fields` of them where that is known, empty ones at the end left out."""
    try:
        row = next(csv.reader(rows, strict=True, **form._asdict()))
    except csv.Error as error:
        _find_next_row(rows, form, fields)
        return Damage("invalid_quoting", str(error))
    except _LostRow as lost:
        _find_next_row(rows, form, fields)
        return lost.damage
    if fields is not None and (len(row) < fields or any(row[fields:])):
        _find_next_row(rows, form, fields)
        return Damage("wrong_field_count", f"{len(row)} fields under a header of {fields}")
    return row


def _bad_bytes(rows: _Lines) -> Damage | None:
    """What is wrong with the bytes of the row that was read last."""
    return next(filter(None, (_bad_byte(line) for _, line in rows.taken if isinstance(line, bytes))), None)


def _bad_byte(line: bytes) -> Damage | None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return Damage("invalid_utf8", f"byte 0x{line[error.start]:02x} in the row")
    return None


def _find_next_row(rows: _Lines, form: Form, fields: int | None) -> None:
    """Drops the lines of a broken row. The next row starts where two whole rows follow each other, with quotes around
    fields only; one alone may be a line of prose inside the broken row, and a row made of that would be invented."""
    first, others = rows.taken[0][1], rows.taken[1:]
    rows.give_back(others)
    if isinstance(first, Damage) or (not others and first.count(QUOTE) % 2 == 0):
        return  # no quote is open, so the next line starts a row
    whole_row = _row_pattern(form, fields or 1)
    while line := rows.pull():
        rows.give_back([line])
        if isinstance(line[1], Damage) or _two_rows_follow(rows, whole_row):
            return
        rows.pull()


def _row_pattern(form: Form, fields: int) -> re.Pattern[bytes]:
    mark = re.escape(form.delimiter)
    before = " *+" if form.skipinitialspace else ""
    field = rf'(?:"(?:[^"]|"")*"|[^"\r\n{mark}][^\r\n{mark}]*|)'
    return re.compile(rf"{before}{field}(?:{mark}{before}{field}){{{fields - 1}}}{mark}*[\r\n]*".encode())


def _two_rows_follow(rows: _Lines, whole_row: re.Pattern[bytes]) -> bool:
    looked_at: list[Line] = []
    try:
        first, second = (_lines_to_closed_quote(rows, looked_at) for _ in range(2))
        return bool(first) and all(whole_row.fullmatch(row) for row in (first, second) if row)
    finally:
        rows.give_back(looked_at)


def _lines_to_closed_quote(rows: _Lines, looked_at: list[Line]) -> bytes:
    """Lines up to one behind which no quote is open, or as many as a row may have; nothing at the end of the file."""
    row = b""
    for _ in range(MAX_ROW_LINES):
        line = rows.pull()
        if line is None:
            break
        looked_at.append(line)
        if isinstance(line[1], Damage):
            break
        row += b"" if line[1].isspace() and not row else line[1]
        if row and row.count(QUOTE) % 2 == 0:
            break
    return row
