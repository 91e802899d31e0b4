"""Temper: the packs and steps of an epoch."""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from stages.train.packing import epoch_steps
from stages.train.stage import TrainParams


def main() -> None:
    lengths, params = np.load(sys.argv[1]), TrainParams(pack_tokens=int(sys.argv[2]))
    cpu, started = time.process_time(), time.perf_counter()
    steps = epoch_steps(lengths, np.ones(len(lengths), dtype=int), params, epoch=0)
    found = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    packs = [lengths[pack] for step in steps for pack in step]
    if sum(map(len, packs)) != len(lengths) or max(pack.sum() for pack in packs) > params.pack_tokens:
        raise SystemExit("a pack is too long, or rows are missing")
    print(json.dumps(found | {"packs": len(packs)}))


if __name__ == "__main__":
    main()
