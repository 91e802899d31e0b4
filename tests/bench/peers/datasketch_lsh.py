"""datasketch: MinHash in bulk, its LSH at the threshold, no check of candidates, the first row stays."""

import json
import re
import sys
from pathlib import Path

from datasketch import MinHash, MinHashLSH

PERMUTATIONS, SIMILARITY = 128, 0.8


def shingles(text: str) -> set[bytes]:
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + 3]).encode() for i in range(max(len(words) - 2, 1))}


rows = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
index = MinHashLSH(threshold=SIMILARITY, num_perm=PERMUTATIONS)
removed = {}
for place, sketch in enumerate(MinHash.generator((shingles(row["text"]) for row in rows), num_perm=PERMUTATIONS)):
    found = index.query(sketch)
    if found:
        removed[place] = found[0]
    else:
        index.insert(place, sketch)
Path(sys.argv[2]).write_text(json.dumps({rows[gone]["id"]: rows[stays]["id"] for gone, stays in removed.items()}))
