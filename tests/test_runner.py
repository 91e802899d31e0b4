"""The runner, on real stages and real files: keys, hits, damage, conservation, and refusals that leave nothing behind."""

import json
from pathlib import Path

import polars as pl
import pytest

from rows import conversation, dataset_digests, sealed, write_jsonl
from stages.errors import DataError, UsageError, told_to_user
from stages.execution.request import Outcome, Request
from stages.execution.runner import probe, run_stage
from stages.pipeline import STAGES
from stages.processes.engine import split_into_batches, transform_of
from stages.store.identity import key_parts
from stages.store.storage import LocalStore

ROWS = [
    conversation(f"row {i}", f"What is the number {i}?", f"The number {i} is a number like {i + 1} others.")
    for i in range(60)
]


def request(stage: str, inputs: dict[str, Path], output: Path | None = None, **facts: object) -> Request:
    params = facts.pop("params", {})
    one = STAGES[stage]
    return Request(one, one.params(**params), {name: [path] for name, path in inputs.items()}, "", output,  # type: ignore[arg-type]
                   progress_form="off", **facts)  # type: ignore[arg-type] # fmt: skip


@pytest.fixture
def unique(tmp_path: Path) -> Path:
    return sealed(tmp_path / "unique", "unique", ROWS)


def test_a_stage_leaves_its_datasets_with_manifests_and_a_receipt(unique: Path, tmp_path: Path) -> None:
    outcome = run_stage(request("score", {"unique": unique}, tmp_path / "out"))
    receipt = json.loads((tmp_path / "out" / "receipt.json").read_text())
    assert sorted(path.name for path in (tmp_path / "out" / "scored").iterdir()) == [
        "manifest.json",
        "part-00000.parquet",
    ]
    assert receipt["outputs"]["scored"]["rows"] == len(ROWS)
    assert receipt["inputs"]["unique"]["rows"] == len(ROWS)
    assert receipt == json.loads(json.dumps(outcome.receipt))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "unique"], "nothing unfinished is left"


def test_the_same_bytes_for_any_batch_size_worker_count_and_input_order(unique: Path, tmp_path: Path) -> None:
    digests = []
    shuffled = write_jsonl(tmp_path / "shuffled.jsonl", [{**row} for row in ROWS[::-1]])
    for number, (source, batch_rows, workers) in enumerate(
        [(unique, 4096, 1), (unique, 7, 1), (unique, 25, 2), (shuffled, 4096, 1)]
    ):
        output = tmp_path / f"out-{number}"
        run_stage(request("score", {"unique": source}, output, batch_rows=batch_rows, workers=workers))
        digests.append(dataset_digests(output))
    assert digests[1:] == digests[:1] * 3


def test_what_a_killed_run_left_beside_its_result_goes_when_the_result_is_found(unique: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    run_stage(request("score", {"unique": unique}, tmp_path / "made" / "out"))
    left = tmp_path / "made" / ".unfinished" / "out" / "scratch"
    left.mkdir(parents=True)
    assert run_stage(request("score", {"unique": unique}, tmp_path / "made" / "out")).hit
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["out"]


def test_equal_work_is_found_and_changed_work_is_not(unique: Path, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")

    def score_and_filter(**params: object) -> Outcome:
        scored = run_stage(request("score", {"unique": unique}, store=store)).folder / "scored"
        return run_stage(request("filter", {"rated": scored}, store=store, params=params))

    assert [score_and_filter().hit, score_and_filter().hit, score_and_filter(min_response_chars=40).hit] == [
        False,
        True,
        False,
    ]


def score(store: Path, rows: list[dict[str, object]], **facts: object) -> tuple[Outcome, list[int]]:
    """The result for some rows, and how many were computed."""
    computed = list[int]()
    given = sealed(store.parent / f"unique-{len(list(store.parent.iterdir()))}", "unique", rows)
    transform = transform_of("score")

    def counting(some: pl.DataFrame, **params: object) -> object:
        computed.append(some.height)
        return transform(some, **params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.processes.engine.transform_of", lambda stage: counting)
        return run_stage(request("score", {"unique": given}, store=LocalStore(store), **facts)), computed


def test_only_rows_that_are_new_or_changed_are_computed_and_the_bytes_are_those_of_computing_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.processes.carried_rows.BLOCK_ROWS", 7)
    changed = [*ROWS[:40], conversation("row 40", "What is 40?", "Forty."), *ROWS[41:]]
    score(tmp_path / "grown", ROWS[:50])
    grown, computed = score(tmp_path / "grown", changed, batch_rows=20)
    assert sum(computed) == 11
    assert "were taken from there" in grown.notes[0]
    fresh, _ = score(tmp_path / "fresh", changed)
    assert dataset_digests(grown.folder) == dataset_digests(fresh.folder)


def test_rows_are_computed_where_the_earlier_ones_came_from_a_file_of_somebody(tmp_path: Path) -> None:
    for number in (50, 60):
        given = write_jsonl(tmp_path / f"{number}.jsonl", ROWS[:number])
        made = run_stage(request("score", {"unique": given}, store=LocalStore(tmp_path / "store")))
        assert (made.receipt["outputs"]["scored"]["rows"], made.notes) == (number, ())


@pytest.mark.parametrize("why", ["damaged", "of other rows", "of other values", "of a stage that takes no time"])
def test_rows_are_not_taken_from_a_result_that_is(why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier, _ = score(tmp_path / "store", ROWS[:50] if why != "of other rows" else ROWS[:29])
    if why == "damaged":
        damaged_part(earlier.folder)
    if why == "of a stage that takes no time":
        monkeypatch.setitem(STAGES, "score", STAGES["score"].model_copy(update={"costly_rows": False}))
    if why == "of other values":
        monkeypatch.setattr("stages.execution.runner.key_parts", lambda *given: key_parts(*given) | {"layout": 0})
    made, computed = score(tmp_path / "store", ROWS)
    assert sum(computed) == len(ROWS)
    assert made.notes == ()


def damaged_part(result: Path) -> None:
    part = result / "scored" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")


def lost_manifest(result: Path) -> None:
    (result / "scored" / "manifest.json").unlink()


def torn_receipt(result: Path) -> None:
    (result / "receipt.json").write_text('{"key":')


@pytest.mark.parametrize("damage", [damaged_part, lost_manifest, torn_receipt])
def test_a_damaged_result_is_not_believed_and_the_stage_runs_again(
    unique: Path, tmp_path: Path, damage: object
) -> None:
    store = LocalStore(tmp_path / "store")
    first = run_stage(request("score", {"unique": unique}, store=store))
    before = dataset_digests(first.folder)
    damage(first.folder)  # type: ignore[operator]
    assert probe(request("score", {"unique": unique}, store=store)) is None
    again = run_stage(request("score", {"unique": unique}, store=store))
    assert not again.hit
    assert "refused" in again.notes[0]
    assert dataset_digests(again.folder) == before


def test_a_damaged_input_is_found_before_it_is_used(unique: Path, tmp_path: Path) -> None:
    part = unique / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"part-00000.parquet is damaged: its bytes differ from its manifest"):
        run_stage(request("score", {"unique": unique}, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_stage_that_loses_a_row_fails_with_its_id_and_publishes_nothing(
    unique: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = run_stage(request("score", {"unique": unique}, tmp_path / "scored")).folder / "scored"
    monkeypatch.setattr("stages.processes.engine.transform_of", losing_a_row)
    with pytest.raises(DataError) as caught:
        run_stage(request("filter", {"rated": scored}, tmp_path / "out"))
    lost = pl.read_parquet(scored / "*.parquet")["row_id"][3]
    assert f"stage filter does not balance: of 60 rows in rated, 1 lost ({lost})" in str(caught.value)
    assert not (tmp_path / "out").exists()


def losing_a_row(stage: str) -> object:
    from importlib import import_module

    real = import_module(f"stages.{stage}.transform").transform

    def transform(rated: pl.DataFrame, *, params: object) -> object:
        return real(pl.concat([rated.head(3), rated.slice(4)]), params=params)

    return transform


def test_a_disk_that_fills_up_under_a_stage_is_told_with_what_was_made(
    unique: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def filling_up(stage: str) -> object:
        def transform(rows: pl.DataFrame, *, params: object) -> object:
            raise OSError("No space left on device (os error 28)")  # as Polars says it

        return transform

    monkeypatch.setattr("stages.processes.engine.transform_of", filling_up)
    with pytest.raises(OSError, match="os error 28") as caught:
        run_stage(request("score", {"unique": unique}, tmp_path / "out"))
    assert str(told_to_user(caught.value)).startswith(f"the disk, while {tmp_path / 'out'} was made: No space left")


def test_a_row_that_breaks_its_schema_is_refused_on_the_way_in(tmp_path: Path) -> None:
    given = write_jsonl(tmp_path / "rows.jsonl", [conversation("a", "only a question")])
    with pytest.raises(DataError, match="check ends_with_answer fails for 1 of 1 rows"):
        run_stage(request("score", {"unique": given}, tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl"]


@pytest.mark.parametrize(("inputs", "said"), [
    ({}, r"stage score lacks --input unique=<path>; it reads unique"),
    ({"uniqe": "x"}, r"lacks --input unique=<path>, and has no input 'uniqe'"),
    ({"unique": "nowhere"}, r"unique: nowhere does not exist"),
    ({"unique": "odd\udcff"}, r"odd\\xff: the name is not UTF-8; rename it"),
])  # fmt: skip
def test_wrong_inputs_are_told_all_at_once(tmp_path: Path, inputs: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run_stage(request("score", {name: Path(path) for name, path in inputs.items()}, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_result_is_never_written_to(unique: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is not the result of a stage"):
        run_stage(request("score", {"unique": unique}, mine))
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_a_result_made_under_an_older_schema_is_checked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unique = sealed(tmp_path / "unique", "unique", ROWS[:3])
    manifest = json.loads((unique / "manifest.json").read_text())
    (unique / "manifest.json").write_text(json.dumps(manifest | {"schema_digest": "older"}))
    checked = []
    monkeypatch.setattr(
        "stages.execution.inputs.check_table", lambda table, schema, where: checked.append((where, table.height))
    )
    run_stage(request("score", {"unique": unique}, tmp_path / "out"))
    assert checked == [("unique/part-00000.parquet", 3)]


def test_a_batch_holds_fewer_rows_where_rows_are_long(tmp_path: Path) -> None:
    long = pl.DataFrame({"text": [f"{number:07d}" * 150_000 for number in range(40)]})
    long.write_parquet(tmp_path / "part-00000.parquet")
    pl.DataFrame({"text": ["short"] * 40}).write_parquet(tmp_path / "part-00001.parquet")
    batches = split_into_batches(tmp_path, batch_rows=30)
    by_part = [[batch.rows for batch in batches if batch.part.name == f"part-0000{n}.parquet"] for n in (0, 1)]
    assert by_part == [[15, 15, 10], [30, 10]]


def test_for_several_workers_batches_get_smaller_towards_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.processes.engine.WORTHWHILE_ROWS", 5)
    for part in (0, 1):
        pl.DataFrame({"number": range(40)}).write_parquet(tmp_path / f"part-0000{part}.parquet")
    batches = split_into_batches(tmp_path, batch_rows=9, workers=2)
    assert [batch.rows for batch in batches] == [9, 8, 7, 7, 6, 3, 5, 5, 5, 5, 5, 5, 5, 5]
    assert [batch.first_row for batch in batches] == [0, 9, 17, 24, 31, 37, 0, 5, 10, 15, 20, 25, 30, 35]


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run [2] of *?"
    raw = write_jsonl(folder / "raw.jsonl", [{"instruction": f"Name {n}.", "output": f"It is {n}."} for n in range(20)])
    made = folder / "ingest"
    run_stage(request("ingest", {"raw": raw}, made))
    for stage, reads in [("dedup", "conversations"), ("score", "unique"), ("rate", "scored"), ("filter", "rated")]:
        run_stage(request(stage, {reads: made / reads}, folder / stage))
        made = folder / stage
    rows = [pl.read_parquet(part, glob=False).height for part in (made / "kept").glob("part-*.parquet")]
    assert sum(rows) == 20
    given = folder / "given.jsonl"
    pl.concat(
        [pl.read_parquet(part, glob=False) for part in (folder / "dedup" / "unique").glob("part-*.parquet")]
    ).write_ndjson(given)
    assert run_stage(request("score", {"unique": given}, folder / "again")).receipt["outputs"]["scored"]["rows"] == 20


def test_a_result_of_other_values_in_the_same_folder_is_made_again(unique: Path, tmp_path: Path) -> None:
    scored = run_stage(request("score", {"unique": unique}, tmp_path / "scores")).folder / "scored"
    made = [
        run_stage(request("filter", {"rated": scored}, tmp_path / "out", params={"min_response_chars": chars}))
        for chars in (1, 1, 10_000)
    ]
    assert [outcome.hit for outcome in made] == [False, True, False]
    assert made[2].notes == ("an older result was made from other inputs, values or code",)
    assert [outcome.receipt["outputs"]["kept"]["rows"] for outcome in made] == [60, 60, 0]
