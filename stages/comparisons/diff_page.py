"""A difference between two snapshots as one self-contained HTML page that looks like the data report."""

from collections.abc import Sequence

import jinja2
from markupsafe import Markup

from stages.comparisons.data_diff import Count, Difference
from stages.comparisons.diff_quotes import QuotedClass
from stages.measures.data_shift import LengthShift, reading_of
from stages.pages import formats, svg
from stages.pages.frame import environment

COUNTS_SHOWN = 200
BESIDE = {"changed": "after", "out": "", "in": ""}


def diff_page(difference: Difference, classes: Sequence[QuotedClass]) -> str:
    """Needs no network and holds no scripts; equal snapshots give equal bytes."""
    moves = [("out", "only before", difference.out.counts), ("in", "only after", difference.came.counts)]
    facts = {
        "difference": difference,
        "bar": _bar(difference),
        "moves": [(name, told, counts[:COUNTS_SHOWN], _rest(counts)) for name, told, counts in moves if counts],
        "lengths": [(shift, _chart(shift)) for shift in difference.shift.lengths],
        "classes": [group for group in classes if group.quotes],
        "beside": BESIDE,
    }
    return _template().render(facts)


def _template() -> jinja2.Template:
    made = environment()
    made.filters |= {"reading": reading_of, "round3": lambda value: f"{value:.3f}"}
    return made.get_template("diff_page.html.jinja")


def _rest(counts: Sequence[Count]) -> tuple[int, int]:
    """How many groups are not shown, and how many rows they have."""
    rest = counts[COUNTS_SHOWN:]
    return len(rest), sum(count.rows for count in rest)


def _bar(difference: Difference) -> Markup:
    parts = {"kept": ("the same", difference.same_rows), "base": ("changed", difference.changed.height),
             "aside": ("out", difference.out.rows.height), "came": ("in", difference.came.rows.height)}  # fmt: skip
    total = sum(rows for _, rows in parts.values()) or 1
    drawn = [svg.Part(rows / total, style, f"{rows:,} {name}") for style, (name, rows) in parts.items()]
    return svg.bar(drawn, ", ".join(part.title for part in drawn))


def _chart(shift: LengthShift) -> Markup:
    sides = [[rows / (sum(side) or 1) for rows in side] for side in (shift.bins.before, shift.bins.after)]
    label = f"{shift.title}: before and after, PSI {formats.number(shift.psi)}"
    return svg.paired_histogram(sides[0], sides[1], shift.bins.names, shift.bins.ticks, label)
