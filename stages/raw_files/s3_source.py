"""Files below an S3 prefix: listed, fetched once each into a folder, and compared with what the service says of them.

Where the service is and who asks it boto3 finds out for itself (AWS_ENDPOINT_URL, AWS_PROFILE, a role, and so on).
"""

import hashlib
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stages.errors import ServiceUnavailable, TryAgain, UsageError
from stages.raw_files.source_files import MAGIC, SourceFile

CHUNK_BYTES = 1 << 20
RETRIES: dict[str, Any] = {"max_attempts": 5, "mode": "standard"}
PLAIN_MD5 = re.compile(r'"([0-9a-f]{32})"')  # the ETag of an object that was put in one piece and is not encrypted
HIDDEN = re.compile(r"(?:^|/)\.(?!\.?/)")  # a part of a key that starts with a dot, and is not . or .. itself
REFUSED = {"AccessDenied", "403", "InvalidObjectState"}
CHANGED = {"PreconditionFailed", "412", "NoSuchKey", "404"}


class Stored(NamedTuple):
    """One object as it was listed."""

    key: str
    size: int
    etag: str


def fetch_files(root: Path, folder: Path) -> list[SourceFile]:
    """The objects at or below `root`, s3://bucket/prefix, as files in `folder`, which is made.

    They are named as if the prefix were a folder; the prefix may hold *, ? and []. Keys never become paths, so that
    none leads out of `folder`. An object that may not be read carries that as its problem. Raises UsageError where
    there is nothing, ServiceUnavailable where the service gives no answer, TryAgain for an object that changed or
    arrived damaged.
    """
    bucket, prefix = root.parts[1], "/".join(root.parts[2:])
    client: Any = boto3.client("s3", config=Config(retries=RETRIES))
    where = f"s3://{bucket}/{prefix}"
    try:
        stored = sorted(_listed(client, bucket, prefix))
        if not stored:
            raise UsageError(f"source {where} holds no object; give a bucket and prefix under which there is one")
        folder.mkdir(parents=True, exist_ok=True)
        base = _base(prefix, stored)
        return [_fetched(client, bucket, one, base, folder / f"{number:06d}") for number, one in enumerate(stored)]
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("NoSuchBucket", "404", *REFUSED):
            raise UsageError(
                f"source {where} cannot be listed: {code}; give a bucket that is there and may be read"
            ) from error
        raise ServiceUnavailable(f"source {where}: the service answers {code}; try again later") from error
    except BotoCoreError as error:
        raise ServiceUnavailable(f"source {where}: {error}; check AWS_ENDPOINT_URL and the credentials") from error


def _listed(client: Any, bucket: str, prefix: str) -> Iterator[Stored]:
    """Objects at or below the prefix, or that match it; no folders' marks and nothing hidden."""
    plain = MAGIC.split(prefix)[0]
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=plain):
        for one in page.get("Contents", []):
            key = one["Key"]
            is_below = not prefix or key == prefix or key.startswith(f"{prefix}/")
            is_meant = fnmatchcase(key, prefix) if plain != prefix else is_below
            if is_meant and not key.endswith("/") and not HIDDEN.search(key):
                yield Stored(key, one["Size"], one["ETag"])


def _base(prefix: str, stored: list[Stored]) -> str:
    """The part of the keys that names the source and no file."""
    plain = MAGIC.split(prefix)[0]
    if plain != prefix:
        return plain.rpartition("/")[0]
    return prefix if all(one.key != prefix for one in stored) else prefix.rpartition("/")[0]


def _fetched(client: Any, bucket: str, one: Stored, base: str, path: Path) -> SourceFile:
    name = one.key.removeprefix(base).lstrip("/")
    source = name.split("/")[0] if "/" in name else (PurePosixPath(base).name or bucket)
    try:
        digest = _fetch(client, bucket, one, path)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in REFUSED:
            return SourceFile(source, name, path, "", f"unreadable: {code}")
        if code in CHANGED:
            raise TryAgain(
                f"s3://{bucket}/{one.key} changed after it was listed; run again once nobody writes there"
            ) from error
        raise
    facts = path.lstat()
    return SourceFile(source, name, path, digest, stamp=(facts.st_size, facts.st_mtime_ns))


def _fetch(client: Any, bucket: str, one: Stored, path: Path) -> str:
    """Hex SHA-256 of the object, which then lies at `path`."""
    answer = client.get_object(Bucket=bucket, Key=one.key, IfMatch=one.etag)
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("wb") as file:
        for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
            file.write(chunk)
            size += len(chunk)
            sha256.update(chunk)
            md5.update(chunk)
    stated = PLAIN_MD5.fullmatch(one.etag) if answer.get("ServerSideEncryption") != "aws:kms" else None
    if size != one.size or (stated and stated[1] != md5.hexdigest()):
        raise TryAgain(
            f"s3://{bucket}/{one.key}: {size:,} bytes arrived that are not the {one.size:,} bytes listed; run again"
        )
    return sha256.hexdigest()
