import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from decontaminated import decontaminated
from rows import chat, conversation, table, write_jsonl
from shared_data import shared_data
from stages.decontaminate.eval_items import texts_of
from stages.errors import DataError
from stages.raw_files.source_files import SourceFile, list_source_files

SHORT = "Why do goats climb trees?"  # 5 words
MIDDLE = "Name the three rivers that meet below the old bridge."  # 10 words
LONG = (
    "A ferry carries nine goats at four coins each and two priests at seven coins each, and sinks one crate of lemons "
    "worth thirty coins on the way. How many coins has the ferryman earned when he lands?"
)


def row(name: str, *turns: str, **columns: Any) -> dict[str, Any]:
    return conversation(name, *turns, file=name, response_chars=1, response_words=1, **zeros(), **columns)


def zeros() -> dict[str, float]:
    return {"repeated_trigram_share": 0.0, "symbol_share": 0.0, "digit_share": 0.0, "url_count": 0}


def kept(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return table("kept", rows)


def eval_files(folder: Path, *records: Any) -> list[SourceFile]:
    write_jsonl(folder / "evals" / "questions.jsonl", list(records))
    return list_source_files([folder / "evals"])


def runs_flagged(rows: list[dict[str, Any]], evals: list[SourceFile], **params: Any) -> dict[str, dict[str, Any]]:
    """`flagged` without looking for items in other words."""
    return flagged(rows, evals, max_false_positive_rate=None, **params)


def flagged(rows: list[dict[str, Any]], evals: list[SourceFile] | None, **params: Any) -> dict[str, dict[str, Any]]:
    """Name -> reason, eval_file, eval_item, evidence, overlap of each row set aside; no row may be lost."""
    clean, contaminated, *_ = decontaminated(kept(rows), evals, **params)
    assert sorted([*clean["file"], *contaminated["file"]]) == sorted(row["file"] for row in rows)
    columns = ["reason", "eval_file", "eval_item", "evidence", "overlap"]
    return {found.pop("file"): found for found in contaminated.select("file", *columns).to_dicts()}


def test_without_evaluation_files_every_row_is_clean() -> None:
    assert flagged([row("a", SHORT, "To eat.")], None) == {}


def test_a_prompt_that_is_an_item_is_flagged_however_short_with_the_item_and_the_words(tmp_path: Path) -> None:
    evals = eval_files(tmp_path, {"question": MIDDLE}, {"question": SHORT})
    assert flagged([row("a", "why do goats climb  TREES", "To eat.")], evals) == {
        "a": {
            "reason": "eval_exact",
            "eval_file": "questions.jsonl",
            "eval_item": 1,
            "evidence": "why do goats climb trees",
            "overlap": 1.0,
        }
    }


def test_labels_around_a_question_are_not_part_of_it(tmp_path: Path) -> None:
    rows = [
        row("bare", SHORT, "x"),
        row("labelled", f"Question: {SHORT}\nAnswer:", "x"),
        row("other", "Why Panama:", "x"),
    ]
    assert set(flagged(rows, eval_files(tmp_path, {"query": f"Q: {SHORT}"}))) == {"bare", "labelled"}


def test_an_item_of_fewer_than_five_words_inside_other_text_proves_nothing(tmp_path: Path) -> None:
    item = "Why do goats climb?"
    rows = [row("in prompt", f"Tell me: {item}", "To eat."), row("in answer", "Ask me something.", item)]
    assert flagged(rows, eval_files(tmp_path, {"question": item})) == {}


def test_an_item_that_one_row_begins_and_the_next_one_ends_is_in_neither(tmp_path: Path) -> None:
    evals = eval_files(tmp_path, {"question": MIDDLE})
    rows = [
        row("begins", "Hi", "Name the three rivers that meet"),
        row("ends", "below the old bridge.", "Where?"),
        row("last", "Hi", f"So: {MIDDLE}"),
    ]
    assert list(runs_flagged(rows, evals)) == ["last"]


def test_an_everyday_question_inside_other_text_proves_nothing(tmp_path: Path) -> None:
    item = "What do you think about it?"
    rows = [row(f"{n}", f"I have {n} goats. {item} I like them.", "So do I.") for n in range(6)]
    assert flagged(rows, eval_files(tmp_path, {"question": item})) == {}


def test_an_everyday_question_that_many_ask_proves_nothing_though_it_is_a_whole_turn(tmp_path: Path) -> None:
    item = "What do you think about it?"
    rows = [row(f"{n}", item, f"I have {n} goats.") for n in range(6)]
    assert flagged(rows, eval_files(tmp_path, {"question": item}), max_false_positive_rate=None) == {}


@pytest.mark.parametrize("item", [SHORT, MIDDLE, LONG])
def test_an_item_of_five_words_or_more_is_found_anywhere_word_by_word(tmp_path: Path, item: str) -> None:
    rows = [
        row("in prompt", f"Please answer.\n{item.upper()} Thank you.", "Gladly."),
        row("in answer", "Ask me something.", f"Well: {item.replace(' ', '  ')}"),
        row("in a later turn", "Hi", "Hello", item, "Five."),
        row(
            "for the system", messages=chat(f"An example: {item}", "Hi", "Hello", roles=["system", "user", "assistant"])
        ),
        row("with soft hyphens", "So: " + item.replace("o", "o\u00ad"), "Five."),
        row("clean", "How many coins are four coins?", "Four."),
    ]
    found = flagged(rows, eval_files(tmp_path, {"question": item}))
    assert {name: verdict["reason"] for name, verdict in found.items()} == dict.fromkeys(
        ["in prompt", "in answer", "in a later turn", "for the system", "with soft hyphens"], "eval_exact"
    )


def test_an_item_is_found_in_the_json_that_a_tool_was_called_with_or_returned(tmp_path: Path) -> None:
    lines = LONG.replace(" ", "\n").replace("w", "\N{FULLWIDTH LATIN SMALL LETTER W}")
    page = json.dumps({"page": f"\N{GRINNING FACE}\n{lines}"})
    calls = json.dumps([{"type": "function", "function": {"name": "look", "arguments": page}}])
    turns = chat("Look!", "So I do.", page, "Done.", roles=["user", "assistant", "tool", "assistant"])
    rows = [row("returned", messages=turns), row("called", messages=[*turns[:1], turns[1] | {"tool_calls": calls}])]
    formula = row("formula", r"Of which field is \nabla\times v the curl, and \text{why}?", "Of v.")
    assert set(runs_flagged([*rows, formula], eval_files(tmp_path, {"question": LONG}))) == {"returned", "called"}
    formulas = eval_files(tmp_path / "formulas", {"question": formula["messages"][0]["content"]})
    assert set(runs_flagged([*rows, formula], formulas)) == {"formula"}


def test_half_of_a_long_item_is_an_overlap_and_a_third_is_not(tmp_path: Path) -> None:
    words = LONG.split()
    rows = [row("half", " ".join(words[:27]), "x"), row("third", " ".join(words[:19]), "x")]
    found = runs_flagged(rows, eval_files(tmp_path, {"question": LONG}))
    assert list(found) == ["half"]
    assert found["half"]["reason"] == "eval_ngram"
    assert found["half"]["overlap"] == pytest.approx(15 / 26)  # of the 38 words' runs of 13, those of the first 27
    assert found["half"]["evidence"].split()[:3] == ["a", "ferry", "carries"]
    assert len(found["half"]["evidence"].split()) == 27
    assert set(runs_flagged(rows, eval_files(tmp_path, {"question": LONG}), min_overlap=0.2)) == {"half", "third"}


def test_the_evidence_of_an_item_with_a_changed_word_ends_before_it(tmp_path: Path) -> None:
    words = LONG.split()
    changed = [*words[:19], "changed", *words[20:]]
    [verdict] = runs_flagged([row("a", " ".join(changed), "x")], eval_files(tmp_path, {"question": LONG})).values()
    expected = " ".join(words[:19]).lower().replace(",", "")
    assert (verdict["reason"], verdict["evidence"]) == ("eval_ngram", expected)
    assert 0.9 < verdict["overlap"] < 1  # all that its words say but for one


def test_the_item_of_which_a_row_holds_most_is_named(tmp_path: Path) -> None:
    evals = eval_files(
        tmp_path, {"question": f"{LONG} And the priests, what have they paid for it?"}, {"question": LONG}
    )
    assert flagged([row("a", LONG, "x")], evals)["a"]["eval_item"] == 1


def test_words_that_many_items_share_are_their_template_and_flag_nothing(tmp_path: Path) -> None:
    template = "You are an expert. Read the following question with care and choose the one best answer from the list."
    evals = eval_files(tmp_path, *({"question": f"{template} Which town is number {i}?"} for i in range(30)))
    rows = [
        row("template", f"{template} What is a lemon?", "Fruit."),
        row("item", f"{template} Which town is number 7?", "x"),
    ]
    assert set(flagged(rows, evals)) == {"item"}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"question": "Q?", "answer": "A."}, [("Q?", "prompt"), ("A.", "answer")]),
        ({"instruction": "Add.", "input": "1 2", "output": "3"}, [("Add.\n\n1 2", "prompt"), ("3", "answer")]),
        ({"instruction": "Add.", "input": "", "output": "3"}, [("Add.", "prompt"), ("3", "answer")]),
        ({"instruction": "Add.", "instances": [{"input": "1", "output": "1"}, {"input": "", "output": "0"}]},
         [("Add.\n\n1", "prompt"), ("1", "answer"), ("Add.", "prompt"), ("0", "answer")]),
        ({"turns": ["One?", "Two?"], "category": "writing"}, [("One?", "prompt"), ("Two?", "turn")]),
        ({"messages": chat("Be brief.", "Q?", "A.", roles=["system", "user", "assistant"])}, [("Q?", "prompt"), ("A.", "answer")]),
        ({"conversations": [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}, {"from": "human", "value": "R?"}]},
         [("Q?", "prompt"), ("A.", "answer"), ("R?", "turn")]),
        ({"query": "Question: Which?", "choices": ["This.", "That."], "gold": 0},
         [("Which?", "prompt"), ("Which?\nThis.\nThat.", "prompt"), ("This.", "answer")]),
        ({"context": "Once upon", "continuation": "a time"}, [("Once upon", "prompt"), ("a time", "answer")]),
        ({"prompt": "def f():", "canonical_solution": "return 1", "task_id": "f/0"}, [("def f():", "prompt"), ("return 1", "answer")]),
        ({"Index": "1", "Model Prompt": "Q?"}, [("Q?", "prompt")]),
        ({"id": "x", "riddle": MIDDLE}, [(MIDDLE, "prompt")]),
        ("A document.", [("A document.", "prompt")]),
    ],
)  # fmt: skip
def test_texts_are_found_under_the_names_that_evaluation_files_use(
    record: object, expected: list[tuple[str, str]]
) -> None:
    assert list(texts_of(record)) == expected


def test_every_form_of_file_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "evals"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps([{"question": "Where do lemons grow?"}]))
    (folder / "b.csv").write_text('prompt,answer\n"Where do, then, goats live?",Up\n')
    with gzip.open(folder / "c.jsonl.gz", "wt") as file:
        file.write(json.dumps({"prompt": "Where do priests live?"}))
    rows = [row(n, f"Where do {n}?", "x") for n in ("lemons grow", "then goats live", "priests live", "we live")]
    found = flagged(rows, list_source_files([folder]))
    assert {name: verdict["eval_file"] for name, verdict in found.items()} == {
        "lemons grow": "a.json",
        "then goats live": "b.csv",
        "priests live": "c.jsonl.gz",
    }


def test_an_answer_of_enough_words_flags_a_row_and_a_shorter_one_does_not(tmp_path: Path) -> None:
    evals = eval_files(tmp_path, {"question": SHORT, "answer": LONG}, {"question": "Then?", "answer": MIDDLE})
    rows = [row("long", "Tell me a story.", LONG), row("short", "Tell me a story.", MIDDLE)]
    assert {name: found["reason"] for name, found in flagged(rows, evals).items()} == {"long": "eval_ngram"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"question": "Q?"}\n{"question": "R?\n', "record 1 of questions.jsonl cannot be read"),
        ('{"question": "Q?"}\n{"id": 7}\n', "record 1 of questions.jsonl has no text to compare; it has ['id']"),
        ("", "the file of questions.jsonl cannot be read"),
    ],
)
def test_an_evaluation_file_that_cannot_be_checked_in_full_is_an_error(tmp_path: Path, content: str, told: str) -> None:
    folder = tmp_path / "evals"
    folder.mkdir()
    (folder / "questions.jsonl").write_text(content)
    with pytest.raises(DataError) as caught:
        flagged([row("a", SHORT, "x")], list_source_files([folder]))
    assert told in str(caught.value)


def test_a_folder_without_evaluation_files_is_an_error() -> None:
    with pytest.raises(DataError, match="the folder holds no file with records"):
        flagged([row("a", SHORT, "x")], [])


def test_no_rows_have_no_verdicts(tmp_path: Path) -> None:
    assert flagged([], eval_files(tmp_path, {"question": SHORT})) == {}


def test_real_evaluation_items_are_found_and_clean_mathematics_questions_are_not_taken_for_them() -> None:
    prompts = {
        f"{name} {i}": text
        for name, field in [
            ("gsm8k_test.jsonl", "question"),
            ("ifeval_input_data.jsonl", "prompt"),
            ("arc_easy.jsonl", "query"),
        ]
        for i, line in enumerate((shared_data("eval") / name).read_text().splitlines()[:200])
        for text in [json.loads(line)[field]]
    }
    with gzip.open(shared_data("math/gsm8k_train.jsonl.gz"), "rt") as file:
        clean = [json.loads(line) for line in file]
    rows = [row(name, text, "x") for name, text in prompts.items()]
    rows += [row(f"clean {i}", r["question"], r["answer"]) for i, r in enumerate(clean)]
    found = flagged(rows, list_source_files([shared_data("eval")]))
    assert set(prompts) <= set(found)
    reasons = [verdict["reason"] for name, verdict in found.items() if name not in prompts]
    assert reasons.count("eval_rephrased") <= len(clean) / 100
    assert len(reasons) - reasons.count("eval_rephrased") <= len(clean) / 1000
