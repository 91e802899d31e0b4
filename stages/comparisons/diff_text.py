"""A difference between two snapshots, as lines for a terminal."""

from collections.abc import Iterator, Sequence

from stages.comparisons.data_diff import Count, Difference
from stages.comparisons.diff_quotes import QuotedClass, plain
from stages.measures.data_shift import reading_of
from stages.pages.formats import cell, percent, quoted
from stages.pages.quotes import Quote

COUNTS_SHOWN = 60
KINDS_SHOWN = 6


def diff_text(difference: Difference, classes: Sequence[QuotedClass]) -> str:
    """Rows in and out with reasons, what changed, how far the distributions moved, examples."""
    return "\n".join([*_totals(difference), *_moves(difference), *_shift(difference), *_examples(classes)])


def _totals(difference: Difference) -> Iterator[str]:
    sides = (("before", difference.before, difference.before_rows), ("after", difference.after, difference.after_rows))
    for title, snapshot, rows in sides:
        yield f"{title:<8}{quoted(snapshot.name)}: {snapshot.dataset}, {rows:,} rows"
    yield ""
    yield f"{difference.same_rows:>12,}  the same"
    yield f"{difference.changed.height:>12,}  changed: another text at the same place"
    yield f"{difference.out.rows.height:>12,}  out: only before"
    yield f"{difference.came.rows.height:>12,}  in: only after"


def _moves(difference: Difference) -> Iterator[str]:
    for title, counts in (("out", difference.out.counts), ("in", difference.came.counts)):
        if counts:
            yield from ("", f"{title}, by source and reason", *_counted(counts))
    if difference.retold:
        yield from ("", "same rows, told otherwise")
        for row in difference.retold[:COUNTS_SHOWN]:
            yield f"{row.rows:>12,}  {row.column}: {quoted(row.before)} -> {quoted(row.after)}"


def _counted(counts: Sequence[Count]) -> Iterator[str]:
    width = max(len(quoted(count.source)) for count in counts[:COUNTS_SHOWN])
    for count in counts[:COUNTS_SHOWN]:
        yield f"{count.rows:>12,}  {quoted(count.source):<{width}}  {quoted(count.reason)}"
    if rest := counts[COUNTS_SHOWN:]:
        yield f"{sum(count.rows for count in rest):>12,}  in {len(rest):,} smaller groups"


def _shift(difference: Difference) -> Iterator[str]:
    yield from (
        "",
        "shift (PSI: below 0.1 as before, from 0.25 moved far; KS: largest distance of the cumulative shares)",
    )
    for shift in difference.shift.lengths:
        yield (f"  {shift.title:<30} median {shift.before[1]:,} -> {shift.after[1]:,}, 95 % up to {shift.before[2]:,} -> "
               f"{shift.after[2]:,}  PSI {shift.psi:.3f}  KS {shift.ks:.3f}  {reading_of(shift)}")  # fmt: skip
    for kind in difference.shift.kinds:
        yield f"  {kind.name:<30} PSI {kind.psi:.3f}  {reading_of(kind)}"
        moved = sorted(kind.shares, key=lambda share: -abs(share[2] - share[1]))[:KINDS_SHOWN]
        yield from (f"    {quoted(name):<28} {percent(p)} -> {percent(q)}" for name, p, q in moved if p != q)


def _examples(classes: Sequence[QuotedClass]) -> Iterator[str]:
    for group in classes:
        if group.quotes:
            yield from ("", f"{group.direction}: {quoted(group.reason)} ({group.rows:,} rows)")
        for quote in group.quotes:
            yield from _quote(quote)
            if quote.beside:
                yield from _quote(quote.beside, "now ")


def _quote(quote: Quote, when: str = "") -> Iterator[str]:
    facts = "".join(f"  {name} {cell(value)}" for name, value in quote.facts)
    yield f"  {when}{cell(quote.place)}  {quote.row_id}{facts}"
    for title, text in (("prompt", quote.prompt), ("answer", quote.response)):
        if text:
            yield f"    {title}  {plain(text)}"
