"""Files of no form that is read -> one fault that says what they are."""

import gzip
from pathlib import Path

import pytest

from record_files import faults, read


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("wide.jsonl", '{"text": "a"}'.encode("utf-16-le"), "unsupported_encoding"),
        ("numbers.bin", bytes([0, 0, 1, 2]) * 10, "unsupported_format"),
        ("data.zip", b"PK\x03\x04rest", "archive"),
        ("data.tar.gz", gzip.compress(b"data.jsonl".ljust(257, b"\0") + b"ustar\x0000", mtime=0), "archive"),
        ("data.txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git_lfs_pointer"),
        ("page.csv", b"<!DOCTYPE html>\n<html>404</html>\n", "unsupported_format"),
        ("twice.txt.gz", gzip.compress(gzip.compress(b"text", mtime=0), mtime=0), "unsupported_format"),
    ],
)
def test_a_foreign_file_is_told_for_what_it_is(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    assert faults(read(tmp_path, content, name)) == [(None, reason)]
