import random
from pathlib import Path

import polars as pl
import pytest

from rows import conversation, row_id, table, write_jsonl
from stages.errors import DataError
from stages.schema import load_schema
from stages.store import tables
from stages.store.piles import Piles, take
from stages.store.tables import cuts_of, read_given, read_table, write_parts, write_table

SCHEMA = load_schema("conversations")


def write(folder: Path, rows: list[dict[str, object]], spools: int = 1) -> dict[str, bytes]:
    """Writes `rows`, left in that many spool files, and returns the bytes of each part."""
    folder.mkdir()
    size = -(-len(rows) // spools)
    for number in range(spools):
        table("conversations", rows[number * size : (number + 1) * size]).write_ipc(folder / f"spool-{number}.arrow")
    write_table(pl.scan_ipc(sorted(folder.glob("*.arrow"))), SCHEMA, folder)
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def test_equal_rows_give_equal_bytes_in_any_order_and_any_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PART_ROWS", 40)
    rows = [conversation(f"row {i}", f"question {i}", f"answer {i}") for i in range(150)]
    expected = write(tmp_path / "sorted", rows)
    assert len(expected) == 4
    in_order = sorted(rows, key=lambda row: row["row_id"])
    for spools in (1, 4, 7):
        assert write(tmp_path / f"in-order-{spools}", in_order, spools) == expected
    for seed, spools in ((1, 1), (2, 3), (3, 8)):
        random.Random(seed).shuffle(rows)
        assert write(tmp_path / f"shuffled-{seed}", rows, spools) == expected


def test_parts_hold_all_rows_in_key_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PART_ROWS", 10)
    write(tmp_path / "data", [conversation(f"row {i}", "q", "a") for i in range(35)])
    assert read_table(tmp_path / "data").select("row_id").collect()["row_id"].to_list() == sorted(
        row_id(f"row {i}") for i in range(35)
    )


def test_a_table_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    write_table(SCHEMA.empty().lazy(), SCHEMA, tmp_path)
    assert read_table(tmp_path).collect().schema == SCHEMA.dtypes


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    rows = [conversation("a", "q", "a"), conversation("a", "q", "b"), conversation("c", "q", "c")]
    with pytest.raises(DataError, match=r"2 rows share their key \(row_id; first:"):
        write(tmp_path / "data", rows)


def test_a_hand_written_file_may_leave_out_what_can_be_filled_in(tmp_path: Path) -> None:
    rows = [{"row_id": "b", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}]
    given = read_given(write_jsonl(tmp_path / "rows.jsonl", rows), SCHEMA).collect()
    assert given.select("row_id", "source", "record").rows() == [("b", "input", 0)]
    parquet = tmp_path / "rows.parquet"
    pl.DataFrame(rows).write_parquet(parquet)
    assert read_given(parquet, SCHEMA).collect().equals(given)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("rows.jsonl", '{"row_id": "a"', "cannot be read as conversations"),
    ("rows.jsonl", '{"row_id": "a"}\n', "lacks messages"),
    ("rows.parquet", "not parquet", "cannot be read as conversations"),
    ("rows.csv", "row_id\na\n", "give a dataset folder, a .parquet or a .jsonl file"),
])  # fmt: skip
def test_a_hand_written_file_that_is_no_table_is_refused_by_name(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=said) as caught:
        read_given(path, SCHEMA).collect()
    assert name in str(caught.value)


def test_rows_that_come_in_piles_give_the_bytes_of_rows_that_come_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PART_ROWS", 10)
    rows = [conversation(f"row {i}", "q", "a") for i in range(35)]
    together = write(tmp_path / "together", rows)
    made = table("conversations", rows)
    piles = Piles.make(tmp_path / "piles", cuts_of(made["row_id"]))
    for number in range(3):
        piles.add(made.gather_every(3, number), f"{number}")
    (tmp_path / "out").mkdir()
    assert write_parts(take(piles.folder), SCHEMA, tmp_path / "out") == dict(
        zip(sorted(together), (10, 10, 10, 5), strict=True)
    )
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == together
    assert not list(piles.folder.iterdir())


def test_piles_that_overlap_are_refused(tmp_path: Path) -> None:
    made = table("conversations", [conversation(f"row {i}", "q", "a") for i in range(4)]).sort("row_id")
    with pytest.raises(DataError, match="is not behind"):
        write_parts([made[1:], made[:1]], SCHEMA, tmp_path)


def test_piles_without_rows_make_a_table_without_rows(tmp_path: Path) -> None:
    Piles.make(tmp_path / "piles", cuts_of(SCHEMA.empty()["row_id"]))
    (tmp_path / "out").mkdir()
    assert write_parts(take(tmp_path / "piles"), SCHEMA, tmp_path / "out") == {"part-00000.parquet": 0}


def test_parts_of_long_rows_hold_fewer_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PART_ROWS", 4)
    monkeypatch.setattr(tables, "PART_BYTES", 10)
    keys = pl.Series("row_id", list("hgfedcba"))
    assert cuts_of(keys).to_list() == ["e"]
    assert cuts_of(keys, pl.Series([1] * 8)).to_list() == ["e"]
    assert cuts_of(keys, pl.Series([1, 1, 1, 1, 30, 6, 4, 1])).to_list() == ["d", "e"]
