"""Logs of server-sent events (WHATWG HTML, 9.2): each line `data: {…}` is a record."""

import re
from collections.abc import Iterator

from stages.raw_files.byte_stream import Damage, lines
from stages.raw_files.json_records import Found, whole_line

# Comments and the fields beside the data, and then a value.
STARTS = re.compile(rb"\s*+(?:(?:event|id|retry)?:[^\r\n]*+[\r\n]\s*+)*+data:\s*+[\[{]")
NO_DATA = (b"event", b"id", b"retry", b"")
END = b"[DONE]"  # OpenAI's servers send it last


def event_values(chunks: Iterator[bytes], max_record_bytes: int) -> Iterator[Found]:
    """The value of each `data` line; a line that is no part of an event is Damage."""
    for offset, line in lines(chunks, max_record_bytes):
        if isinstance(line, Damage):
            yield offset, line
            continue
        field, colon, data = line.partition(b":")
        name = field.strip()
        if name == b"data" and colon:
            if data.strip() not in (END, b""):
                yield offset, whole_line(data)
        elif name not in NO_DATA:
            yield offset, Damage("invalid_json", "a line that is no field of an event, such as `data: {…}`")
