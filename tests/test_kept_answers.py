"""Given answers by key -> the same after a kill; never half of what was put at once."""

import signal
import subprocess
import sys
from pathlib import Path

from stages.rate.kept_answers import open_kept

ROOT = Path(__file__).resolve().parent.parent
PUT_FOR_EVER = """
import sys
from pathlib import Path
from stages.rate.kept_answers import open_kept
with open_kept(Path(sys.argv[1])) as kept:
    for batch in range(10**9):
        kept.put({f"{batch} {n}": [batch, n] for n in range(50)})
        print(batch, flush=True)
"""


def test_what_was_put_is_there_after_a_kill_and_each_put_is_there_whole(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    command = [sys.executable, "-c", PUT_FOR_EVER, path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        last = max([*seen, *map(int, process.stdout.read().split())])
    with open_kept(path) as kept:
        found = kept.get([f"{batch} {n}" for batch in range(last + 2) for n in range(50)])
    assert all(f"{batch} {n}" in found for batch in range(last + 1) for n in range(50))
    assert len(found) % 50 == 0
    assert found["3 4"] == [3, 4]


def test_a_later_answer_replaces_an_earlier_one_and_the_unknown_is_left_out(tmp_path: Path) -> None:
    with open_kept(tmp_path / "new" / "answers.sqlite") as kept:
        kept.put({"a": None, "b": "one"})
        kept.put({"b": "two"})
    with open_kept(tmp_path / "new" / "answers.sqlite") as kept:
        assert kept.get(["a", "b", "c"]) == {"a": None, "b": "two"}
