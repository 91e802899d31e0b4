import multiprocessing
from pathlib import Path

import pytest

from rows import conversation, sealed
from stages.errors import ConfigError, DataError, TryAgain
from stages.store.locks import lock
from stages.store.storage import LocalStore, check_name, commit, read_manifest, staging, verify_dataset, write_json


def test_equal_data_has_an_equal_digest_wherever_it_is(tmp_path: Path) -> None:
    rows = [conversation("a", "hi", "hello"), conversation("b", "hi", "hello")]
    one = sealed(tmp_path / "one", "conversations", rows)
    other = sealed(tmp_path / "other", "conversations", rows[::-1])
    assert read_manifest(one).digest == read_manifest(other).digest


def flip_a_byte(part: Path) -> None:
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)


def truncate(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-7])


@pytest.mark.parametrize("damage", [flip_a_byte, truncate, Path.unlink])
def test_a_damaged_part_is_found_before_it_is_used(tmp_path: Path, damage: object) -> None:
    folder = sealed(tmp_path / "data", "conversations", [conversation("a", "hi", "hello")])
    damage(folder / "part-00000.parquet")  # type: ignore[operator]
    with pytest.raises(DataError, match=r"part-00000.parquet is (damaged|missing).*run the stage that made it again"):
        verify_dataset(folder)


def test_a_dataset_without_a_manifest_is_no_dataset(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "data", "conversations", [conversation("a", "hi", "hello")])
    (folder / "manifest.json").write_text('{"dataset": "conv')
    with pytest.raises(DataError, match="is damaged"):
        verify_dataset(folder)


def test_a_result_appears_whole_and_replaces_an_older_one(tmp_path: Path) -> None:
    final = tmp_path / "result"
    for content in ("old", "new"):
        with lock(final), staging(final) as staged:
            (staged / "file").write_text(content)
            assert not final.exists() or (final / "file").read_text() == "old"
            commit(staged, final)
    assert (final / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result"], "nothing unfinished is left beside it"


def test_a_failure_while_staging_leaves_the_old_result_and_no_rubbish(tmp_path: Path) -> None:
    final = tmp_path / "result"
    final.mkdir()
    (final / "file").write_text("old")
    with pytest.raises(FileNotFoundError), lock(final), staging(final) as staged:
        (staged / "new" / "file").write_text("there is no folder new")
    assert (final / "file").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result"]


def move_three_times(root: Path, writer: int) -> None:
    store, moved = LocalStore(root), 0
    while moved < 3:
        current = store.read_ref("dataset")
        try:
            number = current.facts["number"] + 1 if current else 1
            store.move_ref("dataset", expected=current.version if current else None,
                           version=f"{writer}-{moved}", facts={"number": number})  # fmt: skip
            moved += 1
            write_json(root / f"seen-{number}.json", f"{writer}-{moved}")
        except TryAgain:
            continue


def take_and_leave(final: Path) -> None:
    for _ in range(2_000):
        with lock(final):
            assert not (final.parent / "held").exists()
            (final.parent / "held").touch()
            (final.parent / "held").unlink()


@pytest.mark.slow
def test_a_lock_whose_file_its_last_holder_just_removed_is_taken_anew(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    holders = [context.Process(target=take_and_leave, args=(tmp_path / "final",)) for _ in range(4)]
    for holder in holders:
        holder.start()
    for holder in holders:
        holder.join(timeout=120)
    assert [holder.exitcode for holder in holders] == [0, 0, 0, 0]


@pytest.mark.slow
def test_five_writers_with_three_commits_each_make_exactly_fifteen_versions(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=move_three_times, args=(tmp_path, n)) for n in range(5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
    ref = LocalStore(tmp_path).read_ref("dataset")
    assert ref is not None
    assert ref.facts["number"] == 15
    assert len(list(tmp_path.glob("seen-*.json"))) == 15, "no commit overwrote another"


def test_a_ref_moves_only_from_the_version_that_the_mover_saw(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.move_ref("dataset", expected=None, version="v1", facts={})
    with pytest.raises(TryAgain, match="names v1 and not v0: somebody else moved it"):
        store.move_ref("dataset", expected="v0", version="v2", facts={})
    moved = store.move_ref("dataset", expected="v1", version="v2", facts={})
    assert (moved.version, moved.previous) == ("v2", "v1")


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "a/b", "a#b", "a?b", "a\0b", ".hidden", "a\\b"])
def test_names_that_could_lead_out_of_the_store_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name anything in the store"):
        check_name(name)
