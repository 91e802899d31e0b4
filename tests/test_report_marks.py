import time

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.pages.marks import Marked, begin, mark_differences, mark_run

TEXTS = st.text(alphabet="ab c,\n猫", max_size=60)


def shown(text: Marked) -> str:
    """[marked] stretches in brackets, … for what was left out."""
    return "".join(
        "…" if piece.skipped_chars else f"[{piece.text}]" if piece.marked else piece.text for piece in text.pieces
    )


def test_the_words_are_marked_in_which_two_texts_differ() -> None:
    first, second = mark_differences("How can I learn how to ski?", "How can I learn to skate?", 200)
    assert shown(first) == "How can I learn [how] to [ski]?"
    assert shown(second) == "How can I learn to [skate]?"


def test_neighbouring_words_are_one_mark_and_white_space_alone_is_none() -> None:
    first, second = mark_differences("a red  house\n\nstands", "a big blue house stands", 200)
    assert shown(first) == "a [red]  house\n\nstands"
    assert shown(second) == "a [big blue] house stands"


def test_scripts_without_spaces_differ_character_by_character() -> None:
    assert shown(mark_differences("我喜欢吃苹果", "我喜欢吃香蕉", 100)[0]) == "我喜欢吃[苹果]"


def test_what_is_the_same_for_long_is_left_out_so_that_the_first_difference_is_seen() -> None:
    same = "The quick brown fox jumps. " * 500
    first, second = mark_differences(same + "It ends.", same + "It starts.", 300)
    assert shown(first).startswith("…")
    assert shown(first).endswith("It [ends].")
    assert shown(second).endswith("It [starts].")
    assert first.pieces[0].skipped_chars + sum(len(piece.text) for piece in first.pieces) == len(same) + 8


@given(TEXTS, TEXTS, st.integers(1, 80))
def test_every_character_is_shown_or_counted(one: str, other: str, chars: int) -> None:
    for text, marked in zip((one, other), mark_differences(one, other, chars), strict=True):
        seen = sum(len(piece.text) + piece.skipped_chars for piece in marked.pieces)
        assert seen + marked.more_chars == len(text)


@given(TEXTS, TEXTS)
@settings(max_examples=200)
def test_only_texts_that_differ_in_words_have_marks(one: str, other: str) -> None:
    first, second = mark_differences(one, other, 10_000)
    has_marks = any(piece.marked for side in (first, second) for piece in side.pieces)
    assert has_marks == ("".join(one.split()) != "".join(other.split()) or _words(one) != _words(other))


def _words(text: str) -> list[str]:
    for mark in (",", "猫"):
        text = text.replace(mark, f" {mark} ")
    return text.split()


def test_a_run_of_words_is_found_whatever_stands_between_them() -> None:
    found = mark_run("Q: What's the time,\nin LONDON? Now.", "what s the time in london", 200)
    assert found is not None
    assert shown(found) == "Q: [What's the time,\nin LONDON]? Now."
    assert mark_run("Nothing of the kind.", "time in london", 200) is None
    assert mark_run("Anything", "…", 200) is None


def test_a_beginning_says_how_much_more_there_is() -> None:
    assert begin("abcdef", 4) == begin("abcd", 4, 6)
    assert begin("abcdef", 4).more_chars == 2
    assert begin("", 4).pieces == ()


def test_texts_made_to_be_slow_are_compared_in_bounded_time() -> None:
    started = time.process_time()
    mark_differences("x " + "a " * 10_000 + "b", "y " + "a " * 9_000 + "c " * 3_000, 400)
    mark_differences("a b " * 5_000, "b a c " * 5_000, 400)
    assert time.process_time() - started < 2
