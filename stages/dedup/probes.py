"""Measures, in every run and on its own rows, how surely near-duplicates become candidates."""

import numpy as np

from stages.dedup.comparison import Comparison
from stages.dedup.minhash import band_keys, bands_for, without
from stages.dedup.stage import DedupParams
from stages.dedup.survivors import Thresholds
from stages.texts.word_bytes import Hashes
from stages.texts.word_runs import Runs, starts_of

PROBES = 1000
LEAST_SHINGLES = 20  # a shorter row cannot be changed to just above the threshold


def certify(comparison: Comparison) -> dict[str, object]:
    """Facts: the recall of candidates at the threshold by the curve of the bands, and by probes.

    A probe is a row of the corpus without its template, of which as many shingles were replaced as leave it at least
    `min_similarity` like itself, and not much more: the hardest near-duplicate that still has to be found.
    """
    params = comparison.params
    bands = bands_for(min(Thresholds.of(params)))
    rows = _probed_rows(comparison)
    facts: dict[str, object] = {
        "bands": bands.bands,
        "rows_per_band": bands.rows,
        "recall_at_threshold_by_curve": round(bands.recall(params.min_similarity), 6),
        "probes": len(rows.counts),
    }
    if len(rows.counts):
        probes = _changed(rows, params)
        same = band_keys(rows, bands, params.seed) == band_keys(probes, bands, params.seed)
        facts["probes_found"] = int(same.any(axis=0).sum())
    return facts


def _probed_rows(comparison: Comparison) -> Runs:
    """Distinct shingles, as the bands see them, of rows drawn from all that are long enough."""
    corpus = comparison.corpus
    long_enough = np.flatnonzero(corpus.shingles.counts[corpus.sketch] >= LEAST_SHINGLES)
    draw = np.random.Generator(np.random.PCG64(comparison.params.seed))
    chosen = draw.permutation(long_enough)[:PROBES]
    gathered = corpus.shingles.gather(corpus.sketch[chosen])
    order = np.lexsort((gathered.hashes, gathered.places))
    places, hashes = gathered.places[order], gathered.hashes[order]
    new = np.append(True, (places[1:] != places[:-1]) | (hashes[1:] != hashes[:-1]))[: len(places)]
    rows = without(Runs(hashes[new], np.bincount(places[new], minlength=len(chosen))), comparison.templates)
    return rows.of_texts(rows.counts >= LEAST_SHINGLES)


def _changed(rows: Runs, params: DedupParams) -> Runs:
    """Of n shingles k replaced by others: (n - k) / (n + k) is the similarity that is left."""
    draw = np.random.Generator(np.random.PCG64(params.seed + 1))
    n, least = rows.counts, params.min_similarity
    replaced = np.floor(n * (1 - least) / (1 + least)).astype(np.int64)
    hashes: Hashes = rows.hashes.copy()
    place = np.arange(len(hashes)) - np.repeat(starts_of(n), n)
    first = draw.integers(0, n)  # neighbouring shingles change together when a word does
    changed = (place - np.repeat(first, n)) % np.repeat(n, n) < np.repeat(replaced, n)
    hashes[changed] = draw.integers(0, 2**64, size=int(changed.sum()), dtype=np.uint64)
    return Runs(hashes, n)
