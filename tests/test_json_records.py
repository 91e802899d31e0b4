"""JSON that is broken in ways that could cost more than itself -> one broken record."""

import json
from pathlib import Path

import pytest

from record_files import faults, read, values

ROWS = [{"instruction": "Name a thing.", "input": "", "output": "A lamp."}]


def test_an_element_nested_without_end_is_one_broken_record_and_takes_little_time(tmp_path: Path) -> None:
    sound = json.dumps(ROWS[0])
    endless = read(tmp_path, f"[{sound}, " + '{"a":[' * 50_000)
    assert (values(endless), faults(endless)) == (ROWS[:1], [(1, "nested_too_deep")])
    closed = read(tmp_path, f"[{sound}, " + '{"a":[' * 50_000 + "]}" * 50_000 + f", {sound}]")
    assert (values(closed), faults(closed)) == (ROWS[:1] * 2, [(1, "nested_too_deep")])


MESSAGES = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
OBJECT = {"instruction": "q", "output": "a"}


@pytest.mark.parametrize("long", [0, 300_000])
def test_the_first_line_may_be_a_list_and_the_others_objects(long: int, tmp_path: Path) -> None:
    first = [{**MESSAGES[0], "content": "q" + "x" * long}, MESSAGES[1]]
    content = "".join(json.dumps(value) + "\n" for value in (first, OBJECT, MESSAGES))
    assert values(read(tmp_path, content)) == [first, OBJECT, MESSAGES]


def test_a_broken_second_line_behind_a_list_costs_itself_alone(tmp_path: Path) -> None:
    records = read(tmp_path, f'{json.dumps(MESSAGES)}\n"output": "x"}}\n{json.dumps(OBJECT)}\n')
    assert (values(records), [place for place, _ in faults(records)]) == ([MESSAGES, OBJECT], [1])


def test_a_broken_list_in_the_first_line_costs_itself_alone(tmp_path: Path) -> None:
    for broken, reason in (("[" * 2000 + "]" * 2000, "nested_too_deep"), ('[{"role": user}]', "invalid_json")):
        records = read(tmp_path, f"{broken}\n{json.dumps(OBJECT)}\n{json.dumps(OBJECT)}\n")
        assert (values(records), faults(records)) == ([OBJECT, OBJECT], [(0, reason)])
