"""Charts as inline SVG without a fixed width: places are percentages, so text stays readable on a phone.

Colours come from the page's style by class name. All text is escaped. Equal input gives equal bytes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from stages.pages.formats import short, short_apart

LABEL_SPACE = 22  # px under a plot, for the ticks of the x axis
PLOT_UNITS = 1000  # width of the coordinate system in which lines are drawn before they are stretched


class Part(NamedTuple):
    """A stretch of a bar; `share` is of the whole width, `title` shows when it is pointed at."""

    share: float
    style: str
    title: str


class Tick(NamedTuple):
    """A mark on an axis; `place` runs from 0 at its start to 1 at its end."""

    place: float
    text: str


class Line(NamedTuple):
    """Points (x, y) in order; `dots` draws a dot at each."""

    style: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


def bar(parts: Iterable[Part], label: str) -> Markup:
    """Parts side by side on one horizontal bar."""
    drawn, start = [], 0.0
    for part in parts:
        if part.share > 0:
            shape = '<rect class="{}" x="{}" width="{}" height="100%"><title>{}</title></rect>'
            drawn.append(Markup(shape).format(part.style, _percent(start), _percent(part.share), part.title))
        start += part.share
    return Markup('<svg class="bar" role="img" aria-label="{}">{}</svg>').format(label, Markup("").join(drawn))


def interval(value: float, low: float | None, high: float | None, bounds: tuple[float, float], style: str) -> Markup:
    """A dot at `value` and a line from `low` to `high`, between `bounds`."""
    drawn = Markup('<line class="rail" x1="0" x2="100%" y1="50%" y2="50%"/>')
    if low is not None and high is not None:
        ends = (style, _percent(_place(low, bounds)), _percent(_place(high, bounds)))
        drawn += Markup('<line class="span {}" x1="{}" x2="{}" y1="50%" y2="50%"/>').format(*ends)
    drawn += Markup('<circle class="dot {}" cx="{}" cy="50%" r="4.5"/>').format(style, _percent(_place(value, bounds)))
    return Markup('<svg class="interval" aria-hidden="true">{}</svg>').format(drawn)


def histogram(  # noqa: PLR0913 - what there is to say about one chart
    before: Sequence[int], after: Sequence[int], bins: Sequence[str], ticks: Sequence[Tick], label: str, *,
    height: int = 120, logarithmic: bool = False,
) -> Markup:  # fmt: skip
    """A bar per bin: `before` in outline, `after` filled in front of it. `bins` name the bins when pointed at.

    `logarithmic` makes one row visible beside a million: heights grow with log(1 + rows).
    """
    scale = (lambda rows: math.log1p(rows)) if logarithmic else float
    top = max([scale(rows) for rows in (*before, *after)], default=0.0) or 1.0
    width = 1 / max(len(before), 1)
    drawn = []
    for place, (all_rows, left) in enumerate(zip(before, after, strict=True)):
        title = f"{bins[place]}: {all_rows:,}" + (f", {left:,} kept" if left != all_rows else "")
        for rows, style in ((all_rows, "before"), (left, "after")):
            tall = height * scale(rows) / top
            shape = '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
            across = (_percent(width * (place + 0.06)), _percent(width * 0.88))
            box = (style, across[0], _px(height - tall), across[1], _px(tall), title)
            drawn.append(Markup(shape).format(*box) if rows else Markup(""))
    marks = _count_ticks(max([*before, *after], default=0), top, logarithmic=logarithmic)
    return _framed(Markup("").join(drawn), ticks, marks, height, label)


def paired_histogram(
    first: Sequence[float], second: Sequence[float], bins: Sequence[str], ticks: Sequence[Tick], label: str, *,
    height: int = 120,
) -> Markup:  # fmt: skip
    """Two bars per bin, side by side: the shares (0-1) of two sets of rows, so that sets of any size compare."""
    top, width = max([*first, *second], default=0.0) or 1.0, 1 / max(len(bins), 1)
    shape = '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
    drawn = Markup("")
    for place, pair in enumerate(zip(first, second, strict=True)):
        title = f"{bins[place]}: {100 * pair[0]:.1f} % before, {100 * pair[1]:.1f} % after"
        for side, (share, style) in enumerate(zip(pair, ("first", "second"), strict=True)):
            tall, left = height * share / top, width * (place + 0.06 + 0.44 * side)
            box = (style, _percent(left), _px(height - tall), _percent(width * 0.44), _px(tall), title)
            drawn += Markup(shape).format(*box) if share else Markup("")
    marks = [Tick(share / top, f"{100 * share:.3g} %") for share in round_ticks(0, top, 4) if share <= top]
    return _framed(drawn, ticks, marks, height, label)


def line_chart(
    lines: Sequence[Line], label: str, *, height: int = 220, across: Sequence[Tick] | None = None,
    up_texts: Callable[[Sequence[float]], list[str]] = short_apart,
) -> Markup:  # fmt: skip
    """Lines over one pair of axes with ticks at round numbers; points that are not finite are left out.

    With `across` the ticks of the x axis are these, and the x of a point is its place between 0 and 1.
    """
    shown = [line._replace(points=[point for point in line.points if math.isfinite(sum(point))]) for line in lines]
    points = [point for line in shown for point in line.points]
    if not points:
        return Markup("")
    x_bounds = (0.0, 1.0) if across else _bounds([x for x, _ in points])
    y_values = round_ticks(*_bounds([y for _, y in points]), 5)
    y_bounds = (y_values[0], y_values[-1])
    round_numbers = [x for x in round_ticks(*x_bounds, 5) if x_bounds[0] <= x <= x_bounds[1]]
    across = across or [Tick(_place(x, x_bounds), short(x)) for x in round_numbers]
    up = [Tick(_place(y, y_bounds), text) for y, text in zip(y_values, up_texts(y_values), strict=True)]
    drawn = Markup("").join(_drawn_line(line, x_bounds, y_bounds, height) for line in shown)
    return _framed(drawn, across, up, height, label)


def _drawn_line(line: Line, x_bounds: tuple[float, float], y_bounds: tuple[float, float], height: int) -> Markup:
    places = [(_place(x, x_bounds), 1 - _place(y, y_bounds)) for x, y in line.points]
    path = " ".join(f"{PLOT_UNITS * x:.1f},{height * y:.1f}" for x, y in places)
    stretched = (
        '<svg x="0" y="0" width="100%" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">'
        '<polyline class="line {}" points="{}"/></svg>'
    )
    drawn = Markup(stretched).format(height, PLOT_UNITS, height, line.style, path)
    for (x, y), (step, value) in zip(places, line.points, strict=True):
        if line.dots or len(places) == 1:
            dot = '<circle class="dot {}" cx="{}" cy="{}" r="3.5"><title>{}: {}</title></circle>'
            drawn += Markup(dot).format(line.style, _percent(x), _px(height * y), f"{step:g}", f"{value:.4g}")
    return drawn


def _framed(content: Markup, across: Sequence[Tick], up: Sequence[Tick], height: int, label: str) -> Markup:
    """`content` between its axes; the y labels stand left of the plot, in a margin that the page's style leaves."""
    rule = '<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>'
    left = Markup(rule + '<text x="-6" y="{0}" dy="0.32em" text-anchor="end">{1}</text>')
    grid = Markup("").join(left.format(_px(height * (1 - tick.place)), tick.text) for tick in up)
    below = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
    base = _px(height + LABEL_SPACE - 6)
    axis = Markup("").join(below.format(_percent(t.place), base, _anchor(t.place), t.text) for t in across)
    frame = '<svg class="chart" height="{}" role="img" aria-label="{}">{}{}{}</svg>'
    return Markup(frame).format(height + LABEL_SPACE, label, grid, content, axis)


def _anchor(place: float) -> str:
    """Text at the ends of an axis leans inwards, so that it is not cut off."""
    return "start" if place < 0.02 else "end" if place > 0.98 else "middle"


def _count_ticks(most: int, top: float, *, logarithmic: bool) -> list[Tick]:
    if logarithmic:
        powers = [10**exponent for exponent in range(len(str(max(most, 1))))]
        return [Tick(math.log1p(rows) / top, short(rows)) for rows in powers if rows <= most]
    return [Tick(rows / top, short(rows)) for rows in round_ticks(0, max(most, 1), 5) if rows <= top]


def round_ticks(low: float, high: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten that reach from `low` or below to `high` or above; about so many."""
    rough = (high - low or abs(high) or 1.0) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * 0.999)
    return [place * step for place in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _place(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _px(value: float) -> str:
    return f"{value:.1f}"
