from typing import Any

import pytest

from dedup_rows import STORY, dedup, jaccard, random_text, row, verdicts, with_changed_words
from rows import chat, row_id


def test_rows_that_differ_in_case_and_white_space_are_exact_duplicates() -> None:
    rows = [
        row("a", "Where is it?", "There."),
        row("b", "where is  it?", "THERE.\n"),
        row("c", "Where is it?", "Here."),
    ]
    [(gone, (survivor, reason, similarity))] = verdicts(rows).items()
    assert ({gone, survivor}, reason, similarity) == ({"a", "b"}, "exact_duplicate", 1.0)


def test_a_changed_word_in_a_long_text_is_a_near_duplicate_with_its_true_similarity() -> None:
    changed = with_changed_words(STORY, 0)
    found = verdicts([row("a", STORY, "Yes, it did."), row("b", changed, "Yes, it did")])
    assert found == {
        "b": ("a", "near_duplicate", pytest.approx(jaccard(f"{STORY} yes it did", f"{changed} yes it did")))
    }


def test_rows_that_differ_in_characters_nobody_sees_are_exact_duplicates() -> None:
    rows = [
        row("a", "Why do goats cooperate?", "Because."),
        row("b", "Why do goats co\u00adop\u200berate?\ufeff", "Because."),
    ]
    [(_, reason, similarity)] = verdicts(rows).values()
    assert (reason, similarity) == ("exact_duplicate", 1.0)


@pytest.mark.parametrize(("min_similarity", "goes"), [(0.9, True), (0.901, False)])
def test_a_row_exactly_at_the_threshold_goes(min_similarity: float, goes: bool) -> None:
    words = [f"w{i}" for i in range(12)]  # 10 shingles, of which 9 are shared when the last word is left out
    rows = [row("a", "", " ".join(words)), row("b", "", " ".join(words[:-1]))]
    assert bool(verdicts(rows, min_similarity=min_similarity)) is goes


def test_the_longest_answer_stays_and_of_equal_ones_the_lowest_row_id() -> None:
    rows = [
        row("short", "Why?", "So."),
        row("long", "Why?", "Because it is so."),
        row("also", "Why?", "Because it is no!"),
    ]
    first, second = sorted(["long", "also"], key=row_id)
    found = verdicts(rows, key="prompt")
    assert found == {"short": (first, "exact_duplicate", 1.0), second: (first, "exact_duplicate", 1.0)}


def test_a_row_goes_only_for_a_row_that_stays() -> None:
    middle = STORY
    first, last = with_changed_words(STORY, 0, 1), STORY.removesuffix(" north shore")
    assert jaccard(first, middle) >= 0.8
    assert jaccard(middle, last) >= 0.8
    assert jaccard(first, last) < 0.8
    rows = [row("first", first, "x" * 9), row("middle", middle, "x" * 8), row("last", last, "x" * 7)]
    assert verdicts(rows, key="prompt") == {
        "middle": ("first", "near_duplicate", pytest.approx(jaccard(first, middle)))
    }


def test_a_row_goes_for_the_best_row_that_it_matches_even_where_that_stays_for_reasons_of_its_own() -> None:
    rows, expected = [], {}
    for n in range(20):
        words = [f"w{n}x{i}" for i in range(25)]
        texts = {
            "first": words[:9] + words[20:],  # shares a key with `better`, and is not like it
            "better": words[:14],
            "worse": words[6:20],
            "goes": words[:20],
        }
        rows += [row(f"{name} {n}", "", " ".join(text), source=name) for name, text in texts.items()]
        expected[f"goes {n}"] = f"better {n}"
    found = verdicts(
        rows, min_similarity=0.7, group_similarity=None, shingle_words=1, prefer_sources=["first", "better", "worse"]
    )
    assert {name: survivor for name, (survivor, _, _) in found.items()} == expected


@pytest.mark.parametrize("key", ["response", "conversation"])
def test_answers_without_words_compete_for_their_question_too(key: str) -> None:
    rows = [row("a", "Who was it?", "A goat."), row("b", "Who was it?", "?!"), row("c", "Who was it?", "...!")]
    found = verdicts(rows, key=key, conflicting_answers="keep_best")
    assert {name: verdict[:2] for name, verdict in found.items()} == {
        "b": ("a", "conflicting_answer"),
        "c": ("a", "conflicting_answer"),
    }
    silent = [row("b", "?", "?!"), row("c", "?", "...!"), row("d", "!", "-")]
    [(gone, (survivor, reason, similarity))] = verdicts(silent, key=key, conflicting_answers="keep_best").items()
    assert ({gone, survivor}, reason, similarity) == ({"b", "c"}, "conflicting_answer", 0.0)


def test_a_copy_of_a_row_that_goes_has_that_rows_survivor() -> None:
    changed = with_changed_words(STORY, 0)
    rows = [row("best", STORY, "a long answer"), row("near", changed, "answer"), row("copy", changed, "answer")]
    found = verdicts(rows, key="prompt")
    assert {name: verdict[:2] for name, verdict in found.items()} == {
        "near": ("best", "near_duplicate"),
        "copy": ("best", "near_duplicate"),
    }


@pytest.mark.parametrize(
    ("key", "gone"), [("prompt", {"same question"}), ("response", {"same answer"}), ("conversation", set[str]())]
)
def test_the_key_says_which_text_is_compared(key: str, gone: set[str]) -> None:
    rows = [
        row("first", "Who?", "The ferryman."),
        row("same question", "Who?", "A goat!!"),
        row("same answer", "Whose?", "A goat."),
    ]
    assert set(verdicts(rows, key=key)) == gone
    _, duplicates = dedup(rows, key=key)
    assert set(duplicates["matched_key"]) == ({key} if gone else set())


def test_rows_without_text_are_compared_with_none() -> None:
    documents = [row(name, messages=[{"role": "text", "content": f"Page {name}."}]) for name in "ab"]
    assert verdicts(documents, key="prompt") == {}
    assert verdicts([row("a", "", ""), row("b", "", "")]) == {}


def test_texts_without_any_word_are_only_duplicates_when_equal() -> None:
    found = verdicts([row("a", "?", "!"), row("b", "?", "!"), row("c", "!", "?")])
    assert len(found) == 1
    assert "c" not in found


def test_texts_shorter_than_a_shingle_are_compared_as_a_whole() -> None:
    found = verdicts([row("a", "Hi", "there"), row("b", "Hi", "there!"), row("c", "Hi", "you")])
    assert [(reason, similarity) for _, reason, similarity in found.values()] == [("near_duplicate", 1.0)]
    assert "c" not in found


def test_scripts_without_spaces_are_compared_character_by_character() -> None:
    poem = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少"
    found = verdicts(
        [row("a", "背诵一首诗", poem), row("b", "背诵一首诗", poem[:-1] + "何"), row("c", "背诵一首诗", "床前明月光")]
    )
    assert len(found) == 1
    assert "c" not in found


def test_another_system_prompt_does_not_make_another_row() -> None:
    roles = ["system", "user", "assistant"]
    rows = [row(n, messages=chat(f"You are {n}.", "Why?", "So.", roles=roles)) for n in ("a pirate", "a poet")]
    assert len(verdicts(rows)) == 1


def test_other_tool_calls_and_other_reasoning_make_another_row() -> None:
    def answered(name: str, **fields: str) -> dict[str, Any]:
        turns = [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "", **fields}]
        return row(name, messages=turns)

    rows = [answered("a", tool_calls="[1]"), answered("b", tool_calls="[2]"), answered("c", reasoning_content="x")]
    assert verdicts(rows) == {}
    assert len(verdicts([*rows, answered("d", tool_calls="[1]")])) == 1


def test_rows_that_only_share_a_template_stay() -> None:
    preamble = random_text(0, 60)
    rows = [row(f"r{i}", f"{preamble} {random_text(i + 1, 4)}", random_text(-i - 1, 3)) for i in range(200)]
    assert jaccard(preamble + " a b c d e f g", preamble + " h i j k l m n") >= 0.8
    assert verdicts(rows) == {}
    assert len(verdicts(rows, max_row_share=None)) == 199


def test_a_template_of_a_small_source_among_large_ones_is_seen() -> None:
    preamble = random_text(0, 60)
    small = [row(f"s{i}", f"{preamble} {random_text(i + 1, 4)}", "Yes.", source="small") for i in range(60)]
    large = [row(f"l{i}", random_text(10_000 + i, 8), "No.", source="large") for i in range(2000)]
    assert verdicts([*small, *large]) == {}


def test_rows_of_template_alone_are_still_compared() -> None:
    preamble = random_text(0, 60)
    rows = [row(f"r{i}", f"{preamble} {random_text(i + 1, 6)}", "Yes") for i in range(100)]
    bare = [row("bare", preamble, "?"), row("bare too", preamble, "!")]
    assert set(verdicts([*rows, *bare])) < {"bare", "bare too"}
    assert len(verdicts([*rows, *bare])) == 1


def test_many_noisy_copies_of_one_text_leave_one() -> None:
    copies = [row(f"copy{i}", with_changed_words(STORY, i % 20), "Yes.") for i in range(20)]
    others = [row(f"other{i}", random_text(i, 20), "No.") for i in range(100)]
    found = verdicts([*copies, *others], min_similarity=0.6)
    assert len(found) == 19
    assert {survivor for survivor, _, _ in found.values()} == set(map("copy{}".format, range(20))) - set(found)


def test_rows_that_are_alike_or_open_alike_have_the_lowest_row_id_of_all_as_group() -> None:
    rows = [
        row("a", STORY, "They arrived in the evening, seasick but glad."),
        row("like a", with_changed_words(STORY, 0, 1, 2, 3, 4), "They arrived in the evening, seasick but glad."),
        row("opens like a", STORY, "No.", "Why not?", "A storm came up."),
        row("other", "What is a lemon?", "A fruit."),
    ]
    unique, gone = dedup(rows)
    assert gone.is_empty()
    alike = min(row_id(name) for name in ("a", "like a", "opens like a"))
    assert dict(unique.select("file", "group_id").rows()) == {
        "a": alike,
        "like a": alike,
        "opens like a": alike,
        "other": row_id("other"),
    }
    by_opening, _ = dedup(rows, group_similarity=None)
    assert dict(by_opening.select("file", "group_id").rows())["like a"] == row_id("like a")


def test_no_rows_and_a_single_row_pass() -> None:
    assert [part.height for part in dedup([])] == [0, 0]
    assert [part.height for part in dedup([row("a", "Hi", "Hello")])] == [1, 0]


def test_answers_that_compete_for_a_question_are_counted_and_kept() -> None:
    rows = [
        row("a", "Who was it?", "The ferryman, at dawn."),
        row("b", "who was it?", "A goat."),
        row("c", "Why?", "So."),
    ]
    unique, gone = dedup(rows)
    assert gone.is_empty()
    assert dict(unique.select("file", "answers_to_question").rows()) == {"a": 2, "b": 2, "c": 1}


def test_only_the_best_answer_to_a_question_stays_on_request() -> None:
    rows = [
        row("a", "Who was it?", "The ferryman, at dawn."),
        row("b", "who was it?", "A goat."),
        row("c", "Why?", "So."),
    ]
    [(gone, (survivor, reason, similarity))] = verdicts(rows, conflicting_answers="keep_best").items()
    assert (gone, survivor, reason) == ("b", "a", "conflicting_answer")
    assert similarity == pytest.approx(jaccard("who was it the ferryman at dawn", "who was it a goat"))
    unique, _ = dedup(rows, conflicting_answers="keep_best")
    assert set(unique["answers_to_question"]) == {1}


def test_an_answer_that_loses_one_question_still_answers_another() -> None:
    answer = "Nine goats crossed the sound at dawn."
    rows = [
        row("best", "Who was it?", "Two priests with lemons crossed the sound at dawn, and nobody else."),
        row("worse", "Who was it?", answer, source="hand"),
        row("other", "What crossed?", answer),
        row("copy", "And when did they do so?", answer),
    ]
    found = verdicts(rows, key="response", conflicting_answers="keep_best", prefer_sources=["test"])
    assert found.pop("worse")[1] in ("conflicting_answer", "exact_duplicate")
    [(gone, told)] = found.items()
    [kept] = {"other", "copy"} - {gone}
    assert told == (kept, "exact_duplicate", 1.0)


def test_a_copy_of_an_answer_stays_where_the_better_copy_went_for_its_question() -> None:
    answer = "Nine goats crossed the sound at dawn."
    rows = [
        row("best", "Who was it?", "Two priests with lemons crossed the sound, and nobody else.", source="first"),
        row("worse", "Who was it?", answer, source="second"),
        row("other", "What crossed?", answer),
    ]
    found = verdicts(rows, key="response", conflicting_answers="keep_best", prefer_sources=["first", "second"])
    assert {gone: told[:2] for gone, told in found.items()} == {"worse": ("best", "conflicting_answer")}


@pytest.mark.parametrize("answer", ["?!", "so, so, so"])
def test_the_same_answer_to_two_questions_goes_once_whatever_the_policy(answer: str) -> None:
    rows = [row("a", "Who?", answer), row("b", "Why?", answer)]
    for policy in ("keep_all", "keep_best"):
        [(_, (_, reason, similarity))] = verdicts(rows, key="response", conflicting_answers=policy).items()
        assert (reason, similarity) == ("exact_duplicate", 1.0)


def test_the_system_prompt_belongs_to_the_question() -> None:
    roles = ["system", "user", "assistant"]
    rows = [
        row(n, messages=chat(f"You are {n}.", "Why was it?", f"{n} knows that best", roles=roles))
        for n in ("a poet", "shy")
    ]
    assert verdicts(rows, conflicting_answers="keep_best") == {}


def test_a_preferred_source_and_then_a_row_without_repairs_survives_a_longer_answer() -> None:
    rows = [
        row("long", "Why?", "Because it is so.", source="crawl", repairs=["roles_mapped"]),
        row("clean", "Why?", "It is.", source="crawl"),
        row("hand", "Why?", "So.", source="hand"),
    ]
    preferred = verdicts(rows, key="prompt", prefer_sources=["hand"])
    assert {survivor for survivor, _, _ in preferred.values()} == {"hand"}
    assert {survivor for survivor, _, _ in verdicts(rows, key="prompt").values()} <= {"clean", "hand"}
