"""Given a damaged array, however it is cut into blocks -> the records in front of the damage and none from within it."""

import json
from pathlib import Path

import pytest

from stages.raw_files.source_files import SourceFile
from test_ingest_fast import expanded


@pytest.mark.parametrize("piece", [16, 32, 150])
def test_a_stray_quote_makes_no_record_of_what_is_inside_the_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    two = [{"k": 1}, {"k": 2}]
    texts = {"}, {": [], '{"k": 1}, {"k": 2}': two, "é\\": two}
    rows = [{"k": number, "text": said, "replies": replies} for number, (said, replies) in enumerate(texts.items())]
    text = json.dumps(rows, indent=2)
    at = text.rindex('\n    "k": 2,')
    (tmp_path / "data.json").write_text(text[:at] + '"' + text[at + 1 :])
    monkeypatch.setattr("stages.raw_files.json_blocks.BLOCK_BYTES", 32)
    monkeypatch.setattr("stages.raw_files.json_blocks.MIN_STRETCH", 1)
    monkeypatch.setattr("stages.raw_files.json_blocks.SLICE_BYTES", piece)
    monkeypatch.setattr("stages.raw_files.byte_stream.CHUNK_BYTES", 150)
    found = expanded(SourceFile("here", "data.json", tmp_path / "data.json", "0" * 64))
    assert [value for _, value in found if isinstance(value, dict)] == rows[:2]
