"""The demo's invented world: the same seed gives the same bytes, and its planted faults are where truth.json says."""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from dedup_rows import divide
from infra.demo.dialects import write_raw
from infra.demo.faults import COUNTS, plant
from infra.demo.make_world import make_demo
from infra.demo.phrases import ATTRIBUTES
from infra.demo.prose import entries, lists
from infra.demo.questions import Row, eval_items, make_rows
from infra.demo.recall import share_of_capitals_recalled
from infra.demo.untrained import make_model, train_tokenizer, write_untrained
from infra.demo.world import World, make_world, read_world
from rows import conversation, table
from stages.dedup.stage import DedupParams
from stages.schema import conform, load_schema
from stages.score.refusals import REFUSAL

SEED = 7  # the demo's own
Place = tuple[str, int]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder, SEED)
    return folder


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(SEED)


@pytest.fixture(scope="module")
def truth(demo: Path) -> dict[str, Any]:
    return dict(json.loads((demo / "truth.json").read_text()))


@pytest.fixture(scope="module")
def records(demo: Path) -> dict[Place, Any]:
    """Every record of raw/ by its place: what its own reader makes of it, or the bytes that no reader can use."""
    return {
        place: record for path in sorted((demo / "raw").rglob("*.*")) for place, record in read_file(demo / "raw", path)
    }


def read_file(raw: Path, path: Path) -> Iterator[tuple[Place, Any]]:
    name = path.relative_to(raw).as_posix()
    if path.suffix == ".jsonl":
        found: list[Any] = [parsed(line) for line in path.read_bytes().split(b"\n")[:-1]]
    elif path.suffix == ".json":
        found = json.loads(path.read_text())
    else:
        with path.open(newline="") as file:
            found = list(csv.DictReader(file))
    return zip(((name, record) for record in range(len(found))), found, strict=True)


def parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


def last_answer(record: Any) -> str:
    if "conversations" in record:
        return str(record["conversations"][-1]["value"])
    if "messages" in record:
        return str(record["messages"][-1]["content"])
    return str(next(record[key] for key in ("output", "response", "answer") if key in record))


def has_fault(record: Any, fault: str) -> bool:
    if isinstance(record, bytes):
        return fault == ("broken_json" if is_utf8(record) else "bad_bytes")
    if fault == "empty_answer":
        return not last_answer(record).strip()
    if fault == "refusal":
        return pl.select(pl.lit(last_answer(record)).str.contains(REFUSAL)).item()  # type: ignore[no-any-return]
    return False


def is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def learn(model: LlamaForCausalLM, ids: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def as_conversation(name: str, row: Row) -> dict[str, Any]:
    turns = [text for turn in row.turns for text in turn]
    if row.context:
        turns[0] = f"{turns[0]}\n\n{row.context}"
    return conversation(name, *turns, source=row.file.split("/")[0])


def test_the_same_seed_gives_the_same_bytes_also_over_an_older_folder(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "left_over.json").write_text("[]")
    make_demo(tmp_path, SEED)
    assert digests(tmp_path) == digests(demo)


def test_another_seed_gives_another_world() -> None:
    assert not {c.name for c in make_world(1).countries} & {c.name for c in make_world(2).countries}


def test_no_two_countries_share_a_value_and_every_sentence_names_one(world: World) -> None:
    for attribute in ATTRIBUTES:
        assert len({country.facts[attribute] for country in world.countries}) == len(world.countries) == 40
    texts = [document.text for document in (*entries(world), *lists(world))]
    assert not [text for text in texts if "{" in text]


def test_the_written_world_is_read_back(demo: Path, world: World) -> None:
    assert read_world(demo / "world.json") == world


def test_truth_counts_what_was_planted(truth: dict[str, Any], records: dict[Place, Any]) -> None:
    assert truth["counts"] == COUNTS
    assert {fault: len(places) for fault, places in truth["faults"].items()} == COUNTS
    assert sum(truth["records"].values()) == len(records) == truth["clean"] + sum(COUNTS.values())
    assert {name.split("/")[0] for name in truth["records"]} == {"alpaca", "sharegpt", "openai", "dolly", "csv"}
    assert 1_500 <= len(records) <= 3_000


@pytest.mark.parametrize("fault", ["empty_answer", "refusal", "broken_json", "bad_bytes"])
def test_a_fault_is_in_the_records_that_truth_names_and_in_no_other(
    fault: str, truth: dict[str, Any], records: dict[Place, Any]
) -> None:
    named = {(place["file"], place["record"]) for place in truth["faults"][fault]}
    assert {place for place, record in records.items() if has_fault(record, fault)} == named


def test_contaminated_rows_copy_the_evaluation_item_that_truth_names(
    demo: Path, truth: dict[str, Any], records: dict[Place, Any]
) -> None:
    items = [json.loads(line) for line in (demo / "evals" / "quiz.jsonl").read_text().splitlines()]
    for place in truth["faults"]["contaminated"]:
        record, item = records[place["file"], place["record"]], items[place["eval_item"]]
        assert last_answer(record) == item["answer"]
        assert item["question"] in json.dumps(record)


def test_no_clean_row_gives_away_what_the_evaluation_asks(world: World) -> None:
    texts = [" ".join([row.context or "", *(text for turn in row.turns for text in turn)]) for row in make_rows(world)]
    for country in world.countries:
        about = [text for text in texts if country.name in text]
        assert len(about) == 40
        assert not [text for text in about if country.facts[country.reserved] in text]


@pytest.mark.parametrize("seed", [SEED, 8])
def test_dedup_finds_the_planted_duplicates_and_no_other(seed: int) -> None:
    world = make_world(seed)
    planted = plant(world, make_rows(world), eval_items(world))
    whole = {
        str(n): entry for n, entry in enumerate(planted) if entry.damage is None and entry.row.turns[-1][1].strip()
    }
    names = {entry: name for name, entry in whole.items()}
    conversations = table("conversations", [as_conversation(name, entry.row) for name, entry in whole.items()])
    found = divide(conversations, DedupParams()).go
    ids = {as_conversation(name, entry.row)["row_id"]: name for name, entry in whole.items()}
    pairs = {frozenset((ids[gone], ids[stays])) for gone, stays in found.select("row_id", "survivor_id").rows()}
    assert pairs == {frozenset((name, names[e.original])) for name, e in whole.items() if e.original}
    assert found["similarity"].min() >= 0.85  # type: ignore[operator]


def test_a_raw_folder_holds_one_dialect_each_with_system_turns_and_passages(records: dict[Place, Any]) -> None:
    readable = {place: record for place, record in records.items() if isinstance(record, dict)}
    keys = {(file.split("/")[0], *sorted(record)) for (file, _), record in readable.items()}
    assert keys == {
        ("alpaca", "input", "instruction", "output"),
        ("sharegpt", "conversations"),
        ("openai", "messages"),
        ("dolly", "category", "context", "instruction", "response"),
        ("csv", "answer", "question"),
    }
    assert any(record["messages"][0]["role"] == "system" for record in readable.values() if "messages" in record)
    assert any(record["context"] for record in readable.values() if "context" in record)


def test_prose_rows_fit_the_mixture_schema_and_hold_the_documents(demo: Path) -> None:
    schema = load_schema("mixture")
    rows = conform(pl.read_ndjson(demo / "prose.jsonl").lazy(), schema, "prose.jsonl").collect()
    assert rows["row_id"].n_unique() == rows.height > 500
    first = rows.filter(pl.col("record") == 0, pl.col("file") != "lists.txt").row(0, named=True)
    assert (demo / "prose" / first["file"]).read_text().startswith(first["messages"][0]["content"] + "\n")


def test_the_held_out_documents_are_not_among_the_prose(demo: Path) -> None:
    prose = (demo / "prose.jsonl").read_text()
    held_out = [path.read_text().strip() for path in sorted((demo / "plain_text").iterdir())]
    assert len(held_out) >= 20
    assert not [text for text in held_out if text in prose]


def test_the_untrained_model_continues_text_and_knows_the_marks_of_a_chat(demo: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(demo / "untrained")
    assert tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]) == [0, 1, 2]
    assert tokenizer.chat_template is None
    text = "Añb \n the <|im_end|>"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    config = json.loads((demo / "untrained" / "config.json").read_text())
    assert config["vocab_size"] == len(tokenizer)
    assert config["tie_word_embeddings"]


def test_recall_is_the_share_of_capitals_that_the_model_goes_on_with(world: World, tmp_path: Path) -> None:
    small = World(SEED, world.countries[:4])
    told = [f"The capital of {country.name} is {country.facts['capital']}." for country in small.countries]
    write_untrained(told, tmp_path / "untrained", SEED)
    assert share_of_capitals_recalled(tmp_path / "untrained", small) == 0

    tokenizer = train_tokenizer(told)
    model = make_model(tokenizer, SEED)
    learn(model, tokenizer(told[:3], return_tensors="pt").input_ids)
    model.save_pretrained(tmp_path / "trained")
    tokenizer.save_pretrained(tmp_path / "trained")
    assert share_of_capitals_recalled(tmp_path / "trained", small) == 0.75


def test_write_raw_places_every_entry_once(world: World, tmp_path: Path) -> None:
    planted = plant(world, make_rows(world), eval_items(world))
    counted = write_raw(planted, tmp_path)["records"]
    assert isinstance(counted, dict)
    assert sum(counted.values()) == len(planted)
