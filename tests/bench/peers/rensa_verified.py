"""rensa as its README batches it, with the exact check that it lacks: candidates from 32 bands of 4, then true Jaccard."""

import json
import re
import sys
from pathlib import Path

from rensa import RMinHash, RMinHashLSH

PERMUTATIONS, BANDS, SIMILARITY = 128, 32, 0.8


def shingles(text: str) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + 3]) for i in range(max(len(words) - 2, 1))}


rows = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
sets = [shingles(row["text"]) for row in rows]
index = RMinHashLSH(threshold=SIMILARITY, num_perm=PERMUTATIONS, num_bands=BANDS)
hashes = [RMinHash(num_perm=PERMUTATIONS, seed=42) for _ in rows] if not hasattr(RMinHash, "from_token_sets") else (
    RMinHash.from_token_sets([list(s) for s in sets], PERMUTATIONS, 42)
)  # fmt: skip
removed: dict[int, int] = {}
for place, sketch in enumerate(hashes):
    for other in index.query(sketch):
        if len(sets[place] & sets[other]) / len(sets[place] | sets[other]) >= SIMILARITY:
            removed[place] = other
            break
    else:
        index.insert(place, sketch)
Path(sys.argv[2]).write_text(json.dumps({rows[gone]["id"]: rows[stays]["id"] for gone, stays in removed.items()}))
