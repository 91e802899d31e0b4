import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from stages.texts.word_runs import Runs, run_hashes, word_hashes

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=6).map(" ".join), max_size=6)


def runs_by_hand(texts: list[str], length: int, *, short_texts: bool) -> list[list[tuple[str, ...]]]:
    found = []
    for text in texts:
        split = text.split()
        runs = [tuple(split[i : i + length]) for i in range(len(split) - length + 1)]
        found.append([tuple(split)] if short_texts and split and not runs else runs)
    return found


def by_text(runs: Runs) -> list[list[int]]:
    return [runs.hashes[runs.owners == text].tolist() for text in range(len(runs.counts))]


@given(TEXTS, st.integers(1, 4), st.booleans())
def test_equal_runs_have_equal_hashes_and_other_runs_others(texts: list[str], length: int, short_texts: bool) -> None:
    hashed = by_text(run_hashes(word_hashes(pl.Series(texts, dtype=pl.String)), length, short_texts=short_texts))
    by_hand = runs_by_hand(texts, length, short_texts=short_texts)
    assert [len(runs) for runs in hashed] == [len(runs) for runs in by_hand]
    pairs = {
        (run, value)
        for runs, values in zip(by_hand, hashed, strict=True)
        for run, value in zip(runs, values, strict=True)
    }
    assert len({run for run, _ in pairs}) == len({value for _, value in pairs}) == len(pairs)


def test_the_order_of_words_tells_runs_apart() -> None:
    [[one], [other]] = by_text(run_hashes(word_hashes(pl.Series(["a b c", "c b a"])), 3))
    assert one != other


def test_no_texts_have_no_runs() -> None:
    assert by_text(run_hashes(word_hashes(pl.Series([], dtype=pl.String)), 3)) == []
