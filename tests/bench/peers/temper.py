"""Temper: the dedup stage's own code from a table of conversations to verdicts, sketches kept on disk."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from stages.contract import Workbench
from stages.dedup.job import divide
from stages.dedup.stage import DedupParams


def main() -> None:
    conversations, verdicts, cache = map(Path, sys.argv[1:4])
    cache.mkdir(parents=True, exist_ok=True)
    bench = Workbench(cache, cache, 1, "", lambda *_, **__: None, "", {})
    made, _ = divide(sorted(conversations.glob("part-*.parquet")), DedupParams(), bench)
    verdicts.write_text(json.dumps(dict(made.go.select("row_id", "survivor_id").rows())))


if __name__ == "__main__":
    main()
