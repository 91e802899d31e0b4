"""Compares the distinct texts of a corpus with each other: finds candidates, and verifies every one of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stages.dedup.candidates import Candidates, Common, SingleTurns, WholeTexts
from stages.dedup.corpus import Corpus, first_alike
from stages.dedup.minhash import BandKeys, Bands, band_keys, bands_for, without
from stages.dedup.sharing import Occurrences, likely_rows
from stages.dedup.similarity import Similarity
from stages.dedup.sorting import rising_order, starts_group
from stages.dedup.stage import DedupParams
from stages.dedup.survivors import Compare, Likeness, Matches, Thresholds, match
from stages.dedup.templates import sampled_rows, template_shingles
from stages.dedup.turns import KeyedTurns, TurnSimilarity, keyed
from stages.texts.word_bytes import Booleans, Hashes, Ints

SHINGLES_AT_ONCE = 1 << 24  # bounds the memory of sorting them
PAIRS_A_ROUND = 1 << 26  # the more rounds it took, the less likely copies are what is left, and the more is worth it


@dataclass(frozen=True)
class Comparison:
    """The texts that are compared, each by the best row that has it, and how. Rows are those of the corpus, best first."""

    corpus: Corpus
    same_text: Ints  # for each row the first with the same text, and with `keep_best` the same question
    compared: Booleans  # rows that stand for their text, and can match another
    templates: Hashes  # shingles that are left out
    params: DedupParams

    @cached_property
    def with_words(self) -> Booleans:
        """Rows that can be like others; those without words can only answer the same question."""
        return self.compared & (self.corpus.shingles.counts[self.corpus.sketch] > 0)

    @property
    def by_turns(self) -> Booleans:
        """Rows that are compared turn by turn."""
        return self.with_words & self.corpus.is_long

    @cached_property
    def matching(self) -> tuple[Ints, ...]:
        """Numbers that rows match by which share one, whatever their words: where only the best answer to a question
        stays, those of the questions, and of the texts, as the same text may answer two questions."""
        keys = (self.corpus.question, self.corpus.text)
        return tuple(map(first_alike, keys)) if self.params.conflicting_answers == "keep_best" else ()

    def shingles_of(self, rows: Booleans) -> Occurrences:
        """Which shingles occur in some rows."""
        wanted = self.corpus.by_sketch(rows)
        occurrences = Occurrences(int(self.corpus.shingles.counts[wanted].sum()))
        for _, shingles in self.corpus.shingles.of(wanted):
            occurrences.add(shingles.hashes)
        return occurrences

    def can_be_like(self, others: Occurrences, times: int, among: Booleans) -> Booleans:
        """Of some rows those with as many of the others' shingles as a row needs to match one; see `likely_rows`."""
        place = self._places(among & self.with_words)
        likely = np.zeros(self.corpus.rows, dtype=np.bool_)
        least = min(Thresholds.of(self.params))
        for numbers, shingles in self.corpus.shingles.of(place >= 0):
            likely[place[numbers]] = likely_rows(shingles, others, times, least)
        return likely

    def _common(self, rows: Ints) -> Common:
        """How many shingles of each row any other of these has, too; what a row says twice may count as shared."""
        place = self._places(self._are(rows) & self.with_words)
        counts = self.corpus.shingles.counts
        shared = np.zeros(self.corpus.rows, dtype=np.int64)
        shares = int(counts[place >= 0].sum()) // SHINGLES_AT_ONCE + 1
        for share in range(shares):
            hashes, owners = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
            for numbers, runs in self.corpus.shingles.of(place >= 0):
                mine = runs.hashes % np.uint64(shares) == share
                hashes.append(runs.hashes[mine])
                owners.append(place[numbers][runs.owners[mine]])
            every = np.concatenate(hashes)
            order = rising_order(every)
            first = starts_group(every[order])
            alone = first & np.append(first[1:], True)[: len(first)]
            shared += np.bincount(np.concatenate(owners)[order[~alone]], minlength=len(shared))
        return Common(shared[rows], counts[self.corpus.sketch[rows]] - shared[rows])

    def holding(self, shingles: Hashes) -> Booleans:
        """Rows that have one of some shingles, and all that are compared turn by turn, of which the turns are not asked."""
        place, holding = self._places(self.with_words), self.by_turns
        for numbers, runs in self.corpus.shingles.of(place >= 0):
            holding[place[numbers[np.unique(runs.owners[np.isin(runs.hashes, shingles)])]]] = True
        return holding

    def match_among(self, rows: Booleans) -> Matches:
        """Who of some rows goes for whom. See `matching`."""
        chosen = np.flatnonzero(rows)
        turns, matching = self._turns(chosen), [numbers[chosen] for numbers in self.matching]
        whole = WholeTexts(self._keys(chosen))
        candidates: list[Candidates] = [whole]
        if len(turns.owner):
            candidates.append(SingleTurns(turns, len(chosen)))
        alike = self._alike(self.corpus.sketch[chosen], turns.anchor)

        def compare(left: Ints, right: Ints) -> Likeness:
            found = alike(left, right)
            if not matching:
                return found
            is_match = np.logical_or.reduce([numbers[left] == numbers[right] for numbers in matching])
            same, group = (np.where(is_match, 1.0, like) for like in found[1:])
            return Likeness(found.similarity, same, group)

        def pairs_among(some: Ints, rounds: int) -> Iterator[tuple[Ints, Ints]] | None:
            if matching or len(turns.owner):  # what else rows may match by is not in their shingles
                return None
            common, least = self._common(chosen[some]), min(Thresholds.of(self.params))
            is_little = whole.count_pairs(some, common, least) <= PAIRS_A_ROUND * rounds
            return whole.pairs(some, common, least) if is_little else None

        found = match(candidates, len(chosen), compare, Thresholds.of(self.params), pairs_among)
        if matching:
            same = alike(found.survivor, found.removed).same
            found = found._replace(by_question=same < self.params.min_similarity)
        return found.at(chosen)

    def shared_keys(self, rows: Ints) -> tuple[Hashes, Ints]:
        """Every key of rising rows, and whose it is: only rows that share a key can match."""
        whole, turns = self._keys(rows), self._turns(rows)
        kinds = [(whole, rows), (turns.keys, rows[turns.owner])]
        band = np.arange(sum(len(keys) for keys, _ in kinds), dtype=np.uint64)[:, None] << np.uint64(32)
        told_apart = [  # the same number is another key in another band
            (keys.astype(np.uint64) | bands).ravel()
            for (keys, _), bands in zip(kinds, np.split(band, [len(whole)]), strict=True)
        ]
        return np.concatenate(told_apart), np.concatenate([np.tile(owners, len(keys)) for keys, owners in kinds])

    def _alike(self, sketch: Ints, anchor: Ints) -> Compare:
        """How alike rows with these sketches are: as wholes, and where the worse one is long, in each of its turns."""
        whole = Similarity(self.corpus.shingles, self.templates)
        by_turns = TurnSimilarity(self.corpus.turns, self.templates, min(Thresholds.of(self.params)))
        long = self.corpus.turns.counts[sketch] > 0

        def compare(left: Ints, right: Ints) -> Likeness:
            every, alike = whole.compare(sketch[left], sketch[right])
            if not long[right].any():
                return Likeness(every, alike, alike)
            at, same = np.flatnonzero(long[right]), alike.copy()
            least_like, same[at] = by_turns.compare(sketch[left[at]], sketch[right[at]], anchor[right[at]])
            every[at] = np.where(same[at] >= self.params.min_similarity, least_like, every[at])
            return Likeness(every, same, np.maximum(same, alike))

        return compare

    @cached_property
    def _bands(self) -> Bands:
        return bands_for(min(Thresholds.of(self.params)))

    def _turns(self, rows: Ints) -> KeyedTurns:
        return keyed(self.corpus.turns, self.corpus.sketch[rows], self.templates, self._bands, self.params.seed)

    def _keys(self, rows: Ints) -> BandKeys:
        """A column for each row: its bands, and what it matches by besides."""
        return np.vstack([self._band_keys(rows), *(numbers[rows].astype(np.uint32) for numbers in self.matching)])

    def _band_keys(self, rows: Ints) -> BandKeys:
        """A column for each row; one without words shares its keys with none."""
        bands = self._bands
        keys = np.tile(rows.astype(np.uint32), (bands.bands, 1))
        place = self._places(self._are(rows) & self.with_words)
        for numbers, shingles in self.corpus.shingles.of(place >= 0):
            column = np.searchsorted(rows, place[numbers])
            keys[:, column] = band_keys(without(shingles, self.templates), bands, self.params.seed)
        return keys

    def _are(self, rows: Ints) -> Booleans:
        """For each row whether it is one of these."""
        chosen = np.zeros(self.corpus.rows, dtype=np.bool_)
        chosen[rows] = True
        return chosen

    def _places(self, rows: Booleans) -> Ints:
        """For each sketch the row that has it, -1 for none of these."""
        place = np.full(len(self.corpus.shingles.counts), -1)
        place[self.corpus.sketch[rows]] = np.flatnonzero(rows)
        return place


def template_of(corpus: Corpus, compared: Booleans, params: DedupParams) -> Hashes:
    """The shingles that are template, by a sample of the rows that stand for their text."""
    rows = np.flatnonzero(compared)
    if params.max_row_share is None or not len(rows):
        return np.zeros(0, dtype=np.uint64)
    sampled = rows[sampled_rows(corpus.text[rows, 0], corpus.source[rows])]
    sampled = sampled[np.argsort(corpus.sketch[sampled])]
    return template_shingles(corpus.shingles.runs(corpus.sketch[sampled]), corpus.source[sampled], params.max_row_share)
