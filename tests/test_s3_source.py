"""Objects below an S3 prefix -> source files, fetched and checked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3_server import Handler, serving
from stages.errors import ServiceUnavailable, TryAgain, UsageError
from stages.raw_files.source_files import SourceFile, file_sha256, list_source_files

OBJECTS = {
    "raw/a.jsonl": b'{"instruction": "q", "output": "a"}\n',
    "raw/set/b.jsonl": b"{}",
    "raw/set/deep/c d+e.csv": b"question,answer\nq,a\n",
    "raw/set/": b"",
    "raw/.hidden/d.jsonl": b"x",
    "raw/../../escape.jsonl": b"y",
    "rawer/e.jsonl": b"z",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    with serving(dict(OBJECTS)) as (address, handler):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield handler


def listed(root: str, folder: Path) -> list[SourceFile]:
    return list_source_files([Path(root)], folder / "downloads")


@pytest.mark.usefixtures("server")
def test_the_objects_below_a_prefix_are_files_named_as_in_a_folder(tmp_path: Path) -> None:
    files = {file.name: file for file in listed("s3://bucket/raw", tmp_path)}
    assert {name: file.source for name, file in files.items()} == {
        "a.jsonl": "raw",
        "set/b.jsonl": "set",
        "set/deep/c d+e.csv": "set",
        "../../escape.jsonl": "..",
    }
    assert all(file.path.read_bytes() == OBJECTS[f"raw/{name}"] for name, file in files.items())
    assert all(file_sha256(file.path) == file.sha256 for file in files.values())
    assert all(file.path.is_relative_to(tmp_path / "downloads") for file in files.values())
    assert {path.name for path in tmp_path.iterdir()} == {"downloads"}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("root", "names"),
    [
        ("s3://bucket/raw/set", ["b.jsonl", "deep/c d+e.csv"]),
        ("s3://bucket/raw/set/b.jsonl", ["b.jsonl"]),
        ("s3://bucket/raw*/*.jsonl", ["raw/../../escape.jsonl", "raw/a.jsonl", "raw/set/b.jsonl", "rawer/e.jsonl"]),
        ("s3://bucket/rawer/", ["e.jsonl"]),
    ],
)
def test_a_prefix_is_a_folder_a_file_or_a_pattern(root: str, names: list[str], tmp_path: Path) -> None:
    assert sorted(file.name for file in listed(root, tmp_path)) == names


def test_an_object_that_may_not_be_read_carries_its_problem(server: type[Handler], tmp_path: Path) -> None:
    server.refused.add("raw/a.jsonl")
    problems = {file.name: file.problem for file in listed("s3://bucket/raw", tmp_path)}
    assert problems["a.jsonl"] == "unreadable: AccessDenied"
    assert problems["set/b.jsonl"] is None


def test_an_object_that_arrives_damaged_is_no_file(server: type[Handler], tmp_path: Path) -> None:
    server.damaged.add("raw/a.jsonl")
    with pytest.raises(TryAgain, match="arrived that are not"):
        listed("s3://bucket/raw", tmp_path)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("root", ["s3://bucket/none", "s3://other/raw"])
def test_a_prefix_without_objects_and_a_bucket_that_is_not_there_are_refused(root: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="source s3://"):
        listed(root, tmp_path)


def test_a_service_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("stages.raw_files.s3_source.RETRIES", {"max_attempts": 0})
    with pytest.raises(ServiceUnavailable, match="AWS_ENDPOINT_URL"):
        listed("s3://bucket/raw", tmp_path)


def test_a_prefix_without_a_folder_for_it_is_refused() -> None:
    with pytest.raises(UsageError, match="s3://bucket/prefix"):
        list_source_files([Path("s3://bucket/raw")])
