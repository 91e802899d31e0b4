"""Many small files, read together -> the parts of each that it has alone."""

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.ingest.parts import Parsed
from stages.ingest.reading import Reading, read
from stages.ingest.stage import IngestParams
from stages.raw_files.source_files import list_source_files

PAIR = {"instruction": "Name a colour.", "output": "Blue."}
LINES = "".join(json.dumps(PAIR | {"output": f"Colour {n}."}) + "\n" for n in range(3))
TREE = [
    {"message_id": "1", "parent_id": None, "role": "prompter", "text": "Why?"},
    {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "Because."},
]
HALF = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "q"}]}}  # fmt: skip
CONTENTS = [
    *(b"", b" \n", b"{", b"\x00\xff", b'{"instruction": "q"', LINES[:-20].encode()),
    *(LINES.encode(), json.dumps([PAIR, PAIR]).encode(), json.dumps(PAIR).encode()),
    *(json.dumps([PAIR | {"output": ""}, PAIR | {"weight": 0.5}, 7]).encode(), "".join(map(json.dumps, TREE)).encode()),
    *(
        json.dumps(HALF).encode(),
        b"question,answer\nWhy?,Because.\n",
        b"A paragraph of a book.\n\nAnother one.\n",
    ),
    *(gzip.compress(LINES.encode()), gzip.compress(LINES.encode())[:-9], gzip.compress(LINES.encode() * 400)),
]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(CONTENTS), min_size=2, max_size=6))
def test_small_files_read_together_have_the_parts_of_each_alone(contents: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as made:
        raw = Path(made, "raw")
        raw.mkdir()
        for number, content in enumerate(contents):
            (raw / f"{number}.data").write_bytes(content)
        files = list_source_files([raw])

        def readings(name: str) -> list[Reading]:
            found = [Reading(file, Path(made, name, file.name), IngestParams()) for file in files]
            for reading in found:
                reading.folder.mkdir(parents=True)
            return found

        together = {reading.file: _told(parsed) for reading, parsed in read(readings("together"))}
        alone = {one.file: _told(parsed) for one in readings("alone") for _, parsed in read([one])}
    assert together == alone


def _told(parsed: Parsed) -> list[dict[str, Any]]:
    """Each part, and the rows of its tables."""
    return [
        {**part._asdict(), "checksums": None}
        | {name: pl.read_ipc(parsed.folder / name).to_dicts() for name in sorted(part.checksums)}
        for part in parsed.parts
    ]
