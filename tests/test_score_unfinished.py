"""Answers that end where no sentence does, and are whole all the same."""

import pytest

from rows import chat, row_id, table
from stages.score.stage import ScoreParams
from stages.score.transform import transform


@pytest.mark.parametrize(
    ("answer", "unfinished"),
    [
        ("Sign up here.\nName:\nE-mail: \nCountry:", False),
        ("Dear Professor Bell,", False),
        ("for num in range(1, 10):", False),
        ("if x is greater than 0 (or y is 0):", False),
        ("Tools: a bowl\nFlour:", True),
        ("Dear Bell,\nthe bread needs flour, water,", True),
        ("The loaf needs three things:", True),
    ],
)
def test_forms_greetings_and_lines_of_code_are_whole(answer: str, unfinished: bool) -> None:
    rows = [{"row_id": row_id("a"), "messages": chat("What is it?", answer)}]
    assert transform(table("unique", rows), params=ScoreParams()).scored["ends_unfinished"].item() is unfinished
