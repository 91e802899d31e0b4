"""What every tokenizer of the benchmark shares. Needs nothing but numpy, which all of them bring."""

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# ChatML with the tags that tell transformers which part is the answer.
TAGGED_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ message.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKS = ["<|im_start|>", "<|im_end|>"]


class Asked(NamedTuple):
    """The arguments of every script."""

    corpus: Path
    tokenizer: Path
    cores: int


class Made(NamedTuple):
    """A row's ids and, of the same length, its mask: 1 = counts."""

    ids: Sequence[int]
    mask: Sequence[int]


def asked() -> Asked:
    return Asked(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))


def messages_of(corpus: Path) -> list[list[dict[str, str]]]:
    return [json.loads(line)["messages"] for line in corpus.read_text(encoding="utf-8").splitlines()]


Rows = Callable[[Any], Iterable[Made]]


def report(work: Callable[[], Any], rows_of: Rows, *, in_order: bool = True) -> None:
    """Times `work` and prints what it took; then counts the rows of what it made, and leaves a number for each row."""
    cpu, started = _cpu_seconds(), time.perf_counter()
    made = work()
    seconds, cpu_seconds = time.perf_counter() - started, _cpu_seconds() - cpu
    found = {"seconds": seconds, "cpu_seconds": cpu_seconds}
    print(json.dumps(found | _count(rows_of(made), asked().corpus.parent / f"{Path(sys.argv[0]).stem}.npy", in_order)))


def _count(rows: Iterable[Made], rows_file: Path, in_order: bool) -> dict[str, object]:
    digests, tokens, supervised = [], 0, 0
    for row in rows:
        ids, mask = np.asarray(row.ids, dtype=np.int32), np.asarray(row.mask, dtype=np.int8)
        digests.append(int.from_bytes(hashlib.blake2b(ids.tobytes() + mask.tobytes(), digest_size=8).digest()))
        tokens, supervised = tokens + len(mask), supervised + int(mask.sum())
    np.save(rows_file, np.asarray(digests, dtype=np.uint64))
    return {"tokens": tokens, "supervised": supervised, "rows_file": str(rows_file) if in_order else None}


def _cpu_seconds() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
