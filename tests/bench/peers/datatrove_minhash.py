"""datatrove: its four MinHash steps with the defaults of its example (14 buckets of 8, words of 5), on one task."""

import json
import os
import sys
import tempfile
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter

config = MinhashConfig()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given"
        given.mkdir()
        os.symlink(Path(sys.argv[1]).resolve(), given / "rows.jsonl")

        def steps(*pipeline: object, name: str) -> None:
            LocalPipelineExecutor(list(pipeline), tasks=1, workers=1, logging_dir=f"{folder}/logs-{name}").run()

        def reader() -> JsonlReader:
            return JsonlReader(str(given), text_key="text", id_key="id")

        steps(reader(), MinhashDedupSignature(output_folder=f"{folder}/signatures", config=config), name="sign")
        buckets = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)
        LocalPipelineExecutor(
            [buckets], tasks=config.num_buckets, workers=1, logging_dir=f"{folder}/logs-buckets"
        ).run()
        steps(MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config), name="cluster")
        kept = JsonlWriter(f"{folder}/kept", compression=None)
        steps(reader(), MinhashDedupFilter(f"{folder}/remove"), kept, name="filter")
        stays = {
            json.loads(line)["id"] for path in Path(folder, "kept").iterdir() for line in path.read_text().splitlines()
        }
    every = [json.loads(line)["id"] for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    Path(sys.argv[2]).write_text(json.dumps({i: None for i in every if str(i) not in stays}))


if __name__ == "__main__":
    main()
