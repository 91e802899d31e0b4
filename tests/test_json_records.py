"""JSON that is broken in ways that could cost more than itself -> one broken record."""

import json
from pathlib import Path

from record_files import faults, read, values

ROWS = [{"instruction": "Name a thing.", "input": "", "output": "A lamp."}]


def test_an_element_nested_without_end_is_one_broken_record_and_takes_little_time(tmp_path: Path) -> None:
    sound = json.dumps(ROWS[0])
    endless = read(tmp_path, f"[{sound}, " + '{"a":[' * 50_000)
    assert (values(endless), faults(endless)) == (ROWS[:1], [(1, "nested_too_deep")])
    closed = read(tmp_path, f"[{sound}, " + '{"a":[' * 50_000 + "]}" * 50_000 + f", {sound}]")
    assert (values(closed), faults(closed)) == (ROWS[:1] * 2, [(1, "nested_too_deep")])
