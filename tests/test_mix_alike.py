"""Prompts that ask nearly the same lie in one split."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mix_rows import mix, row
from stages.mix import alike_prompts
from stages.mix.groups import prompts_of

LONG = "Write a letter to the mayor of our town about the noise that the new road makes at night"
Prompt = tuple[str, ...]


@pytest.mark.parametrize(
    ("prompt", "other", "together"),
    [
        (LONG, LONG.replace("noise", "dust"), True),
        (LONG, LONG.replace("our town", "the city"), True),
        (LONG, LONG.upper().replace(" ", "  ") + "!!", True),
        (LONG, f"Please. {LONG}", True),
        ("List the colors of the rainbow", "List the colors in the rainbow", True),
        ("List the colors of the rainbow", "List all the colors of the rainbow", True),
        ("描述泰姬陵的建筑风格", "请描述泰姬陵的建筑风格", True),
        ("What is a dam?", "What is a gene?", False),
        ("List the colors of the rainbow", "List the planets in the sky", False),
        (LONG, LONG.replace("letter", "poem").replace("noise", "dust").replace("night", "noon"), False),
    ],
)
def test_prompts_with_other_answers_are_linked_when_they_ask_nearly_the_same(
    prompt: str, other: str, together: bool
) -> None:
    words = [" ".join(text.lower().replace("!", "").replace(".", "").split()) for text in (prompt, other)]
    rows = pl.DataFrame(
        {"row_id": ["a", "b"], "opening": words, "later": [[], []]}, schema_overrides={"later": pl.List(pl.String)}
    )
    assert (prompts_of(rows, 0.6)["prompt"].n_unique() == 1) == together
    assert prompts_of(rows, None)["prompt"].n_unique() == len(set(words))


def test_a_changed_word_parts_no_prompt_from_the_one_it_was_made_of() -> None:
    pairs = [
        row(
            f"{kind} {i}", f"How did the people of place {i} find water {word} the long summer of the year {i}?", answer
        )
        for i in range(150)
        for kind, word, answer in (("first", "in", "From wells."), ("second", "during", "They carried it."))
    ]
    held_out = {"validation_share": 0.3, "test_share": 0.3}
    near, equal = (mix(pairs, **held_out, prompt_similarity=least).mixture for least in (0.6, None))
    of_pair = pl.col("file").str.split(" ").list.last()
    parted = [made.group_by(of_pair).agg(pl.col("split").n_unique())["split"].sum() - 150 for made in (near, equal)]
    assert parted[0] == 0 < parted[1]
    assert near["split"].n_unique() == 3


def test_blanks_of_a_template_that_many_rows_fill_in_do_not_link_them() -> None:
    template = "Say in one word, positive or negative, what the customer thinks of our house: {} of ours."
    words = pl.Series([template.format(f"room{i}").lower() for i in range(alike_prompts.MOST_HOLDERS + 1)])
    left, right = alike_prompts.alike_prompts(words, 0.6)
    assert (left == right).all()
    left, right = alike_prompts.alike_prompts(words[1:], 0.6)
    assert set(left) | set(right) == set(range(alike_prompts.MOST_HOLDERS))


def runs(prompt: Prompt) -> set[Prompt]:
    return {prompt[at : at + 3] for at in range(len(prompt) - 2)}


def without_a_word(prompt: Prompt) -> set[Prompt]:
    whole = {prompt} if len(prompt) >= 4 else set()
    return whole | ({prompt[:at] + prompt[at + 1 :] for at in range(len(prompt))} if len(prompt) >= 5 else set())


def jaccard(one: set[Prompt], other: set[Prompt]) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0


@st.composite
def changed_prompts(draw: st.DrawFn) -> Prompt:
    """A stretch of one text in which a few words are others."""
    first = draw(st.integers(0, 6))
    prompt = list("abcdefghijklmn"[first : first + draw(st.integers(0, 10))])
    for place, word in draw(st.dictionaries(st.integers(0, 9), st.sampled_from("xyz"), max_size=2)).items():
        prompt[place : place + draw(st.integers(0, 1))] = [word]
    return tuple(prompt)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(changed_prompts(), unique=True, max_size=20),
    st.sampled_from([0.3, 0.5, 0.6, 1.0]),
    st.integers(2, 6),
    st.sampled_from([1, 1000]),
)
def test_links_are_those_of_a_comparison_of_all_with_all(
    prompts: list[Prompt], least: float, most_holders: int, pairs_at_once: int
) -> None:
    holders = Counter(run for prompt in prompts for run in runs(prompt))
    keys = Counter(key for prompt in prompts for key in without_a_word(prompt))

    def are_linked(one: Prompt, other: Prompt) -> bool:
        own = [{run for run in runs(prompt) if holders[run] <= most_holders} for prompt in (one, other)]
        same_runs = bool(own[0] & own[1]) and min(jaccard(runs(one), runs(other)), jaccard(*own)) >= least
        return same_runs or any(keys[key] <= most_holders for key in without_a_word(one) & without_a_word(other))

    expected = list(range(len(prompts)))
    for one in range(len(prompts)):
        for other in range(one):
            if are_linked(prompts[one], prompts[other]):
                low, high = sorted((expected[one], expected[other]))
                expected = [low if group == high else group for group in expected]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike_prompts, "MOST_HOLDERS", most_holders)
        patch.setattr(alike_prompts, "IS_TELLING", pl.col("holders") <= most_holders)
        patch.setattr(alike_prompts, "AT_ONCE", pairs_at_once)
        patch.setattr(alike_prompts, "KEYS_AT_ONCE", pairs_at_once * 10)
        left, right = alike_prompts.alike_prompts(pl.Series([" ".join(of) for of in prompts], dtype=pl.String), least)
    found = np.arange(len(prompts))
    for one, other in zip(left.tolist(), right.tolist(), strict=True):
        found[found == max(found[one], found[other])] = min(found[one], found[other])
    assert found.tolist() == expected
