"""Answers of models on disk, by what they answer, so that nothing is asked twice. Survives a kill at any moment."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

KEYS_AT_ONCE = 500  # SQLite allows 999 variables in a statement of old builds
SECONDS_TO_WAIT = 60.0  # for another process that is writing


class KeptAnswers:
    """Key -> answer (any JSON). What `put` returned from is there after a kill; a damaged file is begun anew."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        try:
            self._database = self._open(path)
        except sqlite3.DatabaseError:
            for damaged in path.parent.glob(f"{path.name}*"):
                damaged.unlink()
            self._database = self._open(path)

    def _open(self, path: Path) -> sqlite3.Connection:
        database = sqlite3.connect(path, timeout=SECONDS_TO_WAIT, check_same_thread=False, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"
        )
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            database.close()
            raise sqlite3.DatabaseError("damaged")
        return database

    def get(self, keys: Sequence[str]) -> dict[str, Any]:
        """The answers there are for `keys`."""
        found: dict[str, Any] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            marks = ", ".join("?" * len(some))
            with self._lock:
                rows = self._database.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", some)
                found |= {key: json.loads(answer) for key, answer in rows}
        return found

    def put(self, answers: Mapping[str, Any]) -> None:
        """Keeps all of `answers` or, when it is killed, none."""
        rows = [(key, json.dumps(answer)) for key, answer in answers.items()]
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)
            self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()


@contextmanager
def open_kept(path: Path) -> Iterator[KeptAnswers]:
    """The answers kept in the file `path`, closed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = KeptAnswers(path)
    try:
        yield kept
    finally:
        kept.close()
