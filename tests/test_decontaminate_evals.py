"""Evaluation folders as they are found: files of any shape, files about the folder, pinned bytes, everyday phrases."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decontaminated import Decontaminated, decontaminated
from rows import conversation, table
from stages.errors import DataError
from stages.raw_files.source_files import file_sha256, list_source_files

LINES = [
    "Which river flows past the old mint of Kaldheim?",
    "Name the bird that sleeps on one leg in winter marshes.",
    "How deep is the well behind the baker's house in Orsk?",
]


def row(name: str, *turns: str, **columns: Any) -> dict[str, Any]:
    signals = {"repeated_trigram_share": 0.0, "symbol_share": 0.0, "digit_share": 0.0, "url_count": 0}
    return conversation(name, *turns, file=name, response_chars=1, response_words=1, **signals, **columns)


def run(folder: Path, rows: list[dict[str, Any]], **params: Any) -> Decontaminated:
    return decontaminated(table("kept", rows), list_source_files([folder]), **params)


def found(made: Decontaminated) -> dict[str, tuple[str, int]]:
    return {
        name: (reason, item) for name, reason, item in made.contaminated.select("file", "reason", "eval_item").rows()
    }


def quoted(turns: list[str]) -> str:
    """A list as Python shows it, in a field of a CSV file."""
    return '"' + str(turns).replace('"', '""') + '"'


ROWS = [row(f"{i}", line, "x") for i, line in enumerate(LINES)] + [row("clean", "How do I boil an egg?", "x")]
EXPECTED = {f"{i}": ("eval_exact", i) for i in range(len(LINES))}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lines.txt", "\n".join(LINES)),
        ("spaced.txt", "\n\n".join(LINES)),
        ("texts.json", json.dumps(LINES)),
        ("texts.jsonl", "\n".join(map(json.dumps, LINES))),
        ("array.json", json.dumps([{"query": line} for line in LINES])),
        ("wrapped.jsonl", "\n".join(json.dumps({"data": {"Question Text": line}}) for line in LINES)),
        ("pairs.csv", "context,answer\n" + "\n".join(f'"{line}",x' for line in LINES)),
        ("chat.jsonl", "\n".join(json.dumps({"messages": [{"role": "user", "content": line}]}) for line in LINES)),
        ("own.jsonl", "\n".join(json.dumps({"id": i, "riddle_de": line}) for i, line in enumerate(LINES))),
        ("answered.jsonl", "\n".join(json.dumps({"riddle_de": line, "answer": "Yes"}) for line in LINES)),
        ("labelled.txt", "\n\n".join(f"Q: {line}\nA: Yes, it is." for line in LINES)),
        ("shown.jsonl", "\n".join(json.dumps({"prompt": f"Q: Is it?\nA: Yes.\n\nQ: {line}\nA:"}) for line in LINES)),
        ("columns.json", json.dumps({"question": LINES, "answer": ["Yes"] * 3})),
        ("pandas.json", json.dumps({"question": dict(enumerate(LINES)), "answer": dict.fromkeys(range(3), "Yes")})),
        ("ids.json", json.dumps({f"id{i}": {"pairs": [{"question": line}]} for i, line in enumerate(LINES)})),
        ("turns.csv", "id,turns\n" + "\n".join(f"{i},{quoted([line, 'Why?'])}" for i, line in enumerate(LINES))),
    ],
)
def test_items_are_found_whatever_the_file_is_like(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert found(run(tmp_path, ROWS)) == EXPECTED


def test_what_most_items_are_begun_with_or_told_by_the_system_is_none_of_them(tmp_path: Path) -> None:
    told, task = (
        "You are a helper of the harbour master and polite to all.",
        "Answer the question below in one short word.",
    )
    records = [{"system_prompt": told, "instruction": task, "question": line} for line in LINES]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, records)))
    others = [row("told", f"{told} Boil an egg.", "x"), row("task", f"{task}\n\nIs it true?", "x")]
    assert found(run(tmp_path, [*ROWS, *others])) == EXPECTED
    (tmp_path / "items.jsonl").write_text("\n".join(json.dumps({"instruction": task, "image": i}) for i in range(3)))
    assert set(found(run(tmp_path, [*ROWS, *others]))) == {"task"}


def test_nested_parquet_is_read(tmp_path: Path) -> None:
    records = [{"question": {"stem": line, "choices": [{"text": "Hello"}]}} for line in LINES]
    pl.DataFrame(records).write_parquet(tmp_path / "items.parquet")
    assert found(run(tmp_path, [*ROWS, row("greeting", "Hello", "Hello")])) == EXPECTED


def test_a_table_without_a_header_loses_no_item(tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("\n".join(f"{line},Left,Right,A" for line in LINES))
    assert set(found(run(tmp_path, ROWS))) == set(EXPECTED)


@pytest.mark.parametrize(
    "name", ["README.md", "LICENSE", "MANIFEST.json", "notes.md", "SHA256SUMS", "card.yaml", "README.jsonl"]
)
def test_files_about_the_folder_are_passed_over_and_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "items.txt").write_text("\n".join(LINES))
    (tmp_path / name).write_text('{"files": 3}')
    made = run(tmp_path, ROWS)
    assert found(made) == EXPECTED
    told = dict(made.decontamination.select("eval_file", "skipped").rows())
    assert told["items.txt"] is None
    assert made.told == ["too few items to measure mistakes: items.txt", f"{name} was passed over: {told[name]}"]


def test_a_broken_data_file_still_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("About.")
    (tmp_path / "items.jsonl.gz").write_bytes(gzip.compress(b'{"question": "Q?"}\n')[:-9])
    with pytest.raises(DataError, match=r"items\.jsonl\.gz cannot be read"):
        run(tmp_path, ROWS)


def test_a_list_of_texts_with_a_deep_nest_in_it_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(f'["{LINES[0]}", {"[" * 100_000}{"]" * 100_000}]')
    with pytest.raises(DataError, match=r"evals: record 0 of test.json cannot be read"):
        run(tmp_path, ROWS)


def test_a_folder_with_nothing_but_its_readme_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("About.")
    with pytest.raises(DataError, match="holds no file with records"):
        run(tmp_path, ROWS)


def test_pinned_bytes_are_accepted_and_others_refused_with_the_digest_found(tmp_path: Path) -> None:
    path = tmp_path / "items.txt"
    path.write_text("\n".join(LINES))
    digest = file_sha256(path)
    assert run(tmp_path, ROWS, pins={"items.txt": digest}).decontamination["sha256"].to_list() == [digest]
    path.write_text("\n".join([*LINES, "More?"]))
    with pytest.raises(DataError, match=f"items.txt is {file_sha256(path)} and should be {digest}"):
        run(tmp_path, ROWS, pins={"items.txt": digest})
    with pytest.raises(DataError, match=r"other\.txt is missing and should be"):
        run(tmp_path, ROWS, pins={"other.txt": digest})


def test_the_verdict_counts_each_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(LINES[:1]))
    (tmp_path / "b.txt").write_text("\n".join(LINES[1:]))
    made = run(tmp_path, ROWS).decontamination.select(
        "eval_file", "items", "eval_exact", "eval_ngram", "eval_rephrased"
    )
    assert made.rows() == [("a.txt", 1, 1, 0, 0), ("b.txt", 2, 2, 0, 0)]


def greetings(count: int, answer: str = "Hi! How can I help?") -> list[dict[str, Any]]:
    return [row(f"g{i}", "Hello", f"{answer} ({i})") for i in range(count)]


def test_an_everyday_phrase_without_an_answer_cannot_flag_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text(json.dumps({"prompt": "Hello"}) + "\n" + json.dumps({"prompt": LINES[0]}))
    made = run(tmp_path, [*greetings(40), *ROWS])
    assert found(made) == {"0": ("eval_exact", 1)}
    assert made.decontamination["too_common"].to_list() == [40]
    assert set(found(run(tmp_path, [*greetings(3), *ROWS]))) == {"0", "g0", "g1", "g2"}


def test_what_several_rows_say_is_an_everyday_phrase_only_where_others_have_its_words(tmp_path: Path) -> None:
    everyday, own = "Tell me about it in a few words", "The lemons of Orsk are ripe by"
    (tmp_path / "items.txt").write_text(f"{everyday}\n{own}")
    others = [row(f"o{i}", f"Tell me in a few words what it is about {i} boats.", "x") for i in range(380)]
    rows = [row(f"{item[:4]}{i}", f"{i} times: {item} {i}", "x") for item in (everyday, own) for i in range(7)]
    assert set(found(run(tmp_path, [*others, *rows], max_false_positive_rate=None))) == {f"The {i}" for i in range(7)}
    assert found(run(tmp_path, [*others[:200], *rows], max_false_positive_rate=None)) == {}


def test_a_long_text_that_all_rows_are_begun_with_cannot_flag_a_corpus(tmp_path: Path) -> None:
    template = f"Here is a task that a person of the harbour wrote down. {LINES[0]} {LINES[1]} {LINES[2]}"
    (tmp_path / "items.jsonl").write_text(json.dumps({"prompt": template}))
    rows = [row(f"r{i}", f"{template}\n\nBoil {i} eggs.", f"{i} eggs.") for i in range(60)]
    made = run(tmp_path, [*rows, *ROWS])
    assert not set(found(made)) & {r["file"] for r in rows}
    assert made.decontamination["too_common"].to_list() == [60]
    assert len(found(run(tmp_path, rows[:20]))) == 20
    asked = [row(f"q{i}", template, f"{i} eggs.") for i in range(60)]
    assert found(run(tmp_path, asked)) == {}
    (tmp_path / "items.jsonl").write_text(json.dumps({"prompt": template, "answer": "Boil an egg."}))
    assert len(found(run(tmp_path, asked))) == 60


def test_an_everyday_phrase_with_its_answer_flags_the_rows_that_give_it(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text(json.dumps({"question": "What is the capital of France?", "answer": "Paris"}))
    rows = [row(f"r{i}", "What is the capital of France?", "Paris." if i < 15 else "A city.") for i in range(40)]
    assert set(found(run(tmp_path, rows))) == {f"r{i}" for i in range(15)}


def test_a_task_that_many_rows_begin_with_flags_none_of_them(tmp_path: Path) -> None:
    task = "Rewrite the following sentence so that it sounds more polite and professional."
    (tmp_path / "items.jsonl").write_text(json.dumps({"instruction": task}))
    rows = [row(f"r{i}", f"{task}\n\nGive me {word} now.", "x") for i, word in enumerate("abcdefghijklmno")]
    assert found(run(tmp_path, rows, max_false_positive_rate=None)) == {}


def test_many_answers_to_one_item_are_all_flagged(tmp_path: Path) -> None:
    (tmp_path / "items.txt").write_text(LINES[2])
    rows = [row(f"r{i}", LINES[2], f"{i} metres.") for i in range(40)]
    assert len(found(run(tmp_path, rows))) == 40


TEXTS = st.lists(
    st.sampled_from([*LINES, "Hello", "How deep is the baker's well at Orsk?", "Boil an egg.", "12 eggs"]), max_size=12
)


@settings(max_examples=15, deadline=None)
@given(TEXTS, st.randoms(use_true_random=False))
def test_no_row_is_lost_and_order_changes_nothing(tmp_path_factory: Any, drawn: list[str], random: Any) -> None:
    folder = tmp_path_factory.mktemp("evals")
    (folder / "items.txt").write_text("\n".join(LINES))
    rows = [row(f"r{i}", text, "x") for i, text in enumerate(drawn)]
    made = run(folder, rows)
    clean, contaminated = made.clean, made.contaminated
    assert sorted([*clean["file"], *contaminated["file"]]) == sorted(r["file"] for r in rows)
    random.shuffle(rows)
    again = run(folder, rows)
    assert contaminated.sort("row_id").equals(again.contaminated.sort("row_id"))
    assert made.decontamination.equals(again.decontamination)
