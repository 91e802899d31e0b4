"""TRL: pack_dataset on rows of the given lengths, whose ids are made up."""

import json
import sys
import time

import numpy as np
import pyarrow as pa
from datasets import Dataset, disable_caching
from trl import pack_dataset


def main() -> None:
    lengths, size = np.load(sys.argv[1]), int(sys.argv[2])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    ids = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.zeros(offsets[-1], dtype=np.int32)))
    data = Dataset(pa.table({"input_ids": ids, "labels": ids}))
    kwargs = {"batch_size": None} if sys.argv[3] == "trl_at_once" else {}
    cpu, started = time.process_time(), time.perf_counter()
    packed = pack_dataset(data, size, "bfd", map_kwargs=kwargs)
    found = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps(found | {"packs": len(packed)}))


if __name__ == "__main__":
    disable_caching()
    main()
