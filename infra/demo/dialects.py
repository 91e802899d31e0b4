"""Writes the rows as raw files, each in the dialect of its folder, and says in which record every fault lies."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.demo.faults import Entry
from infra.demo.questions import Row

ShareGptTurn = dict[str, str]


def write_raw(entries: Sequence[Entry], folder: Path) -> dict[str, object]:
    """Writes `<dialect>/<file>` for all entries, in their order; returns the truth about them, ready for JSON."""
    files: dict[str, list[Entry]] = {}
    for entry in entries:
        files.setdefault(entry.row.file, []).append(entry)
    for name, members in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_file_bytes(path.suffix, members))
    return _truth(files)


def record_bytes(entry: Entry) -> bytes:
    """One record in the dialect of its file, spoiled if it is to be."""
    dialect = entry.row.file.split("/")[0]
    record = CSV_RECORD(entry.row) if dialect == "csv" else _json(JSON_RECORDS[dialect](entry.row))
    return entry.damage(record) if entry.damage else record


def _alpaca(row: Row) -> dict[str, object]:
    ((question, said),) = row.turns
    return {"instruction": question, "input": row.context or "", "output": said}


def _sharegpt(row: Row) -> dict[str, object]:
    turns: list[ShareGptTurn] = []
    for question, said in row.turns:
        turns += [{"from": "human", "value": question}, {"from": "gpt", "value": said}]
    return {"conversations": turns}


def _openai(row: Row) -> dict[str, object]:
    messages = [{"role": "system", "content": row.system}] if row.system else []
    for question, said in row.turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": said}]
    return {"messages": messages}


def _dolly(row: Row) -> dict[str, object]:
    ((question, said),) = row.turns
    return {"instruction": question, "context": row.context or "", "response": said, "category": row.category}


def _csv_line(row: Row) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(row.turns[0])
    return line.getvalue().encode()


JSON_RECORDS: dict[str, Callable[[Row], dict[str, object]]] = {
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "openai": _openai,
    "dolly": _dolly,
}
CSV_RECORD = _csv_line


def _json(record: dict[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


def _file_bytes(suffix: str, entries: Sequence[Entry]) -> bytes:
    records = [record_bytes(entry) for entry in entries]
    if suffix == ".json":
        return b"[\n" + b",\n".join(records) + b"\n]\n"
    header = [b"question,answer"] if suffix == ".csv" else []
    return b"\n".join([*header, *records]) + b"\n"


def _truth(files: dict[str, list[Entry]]) -> dict[str, object]:
    places = {entry: (name, record) for name, entries in files.items() for record, entry in enumerate(entries)}
    faults: dict[str, list[dict[str, object]]] = {}
    for entry, (file, record) in sorted(places.items(), key=lambda item: item[1]):
        if entry.fault is None:
            continue
        fact: dict[str, object] = {"file": file, "record": record}
        if entry.original:
            fact["original_file"], fact["original_record"] = places[entry.original]
        if entry.eval_item is not None:
            fact["eval_item"] = entry.eval_item
        faults.setdefault(entry.fault, []).append(fact)
    return {
        "records": {name: len(entries) for name, entries in sorted(files.items())},
        "clean": sum(entry.fault is None for entry in places),
        "counts": {fault: len(places_of_it) for fault, places_of_it in sorted(faults.items())},
        "faults": dict(sorted(faults.items())),
    }
