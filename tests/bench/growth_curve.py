"""Draws how cost grows with the number of rows, both on logarithmic axes: a cost that is linear runs with the dashes."""

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[int, float]]  # rows, cost

PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 420, 300, 64
COLOURS = ("#1b5e9e", "#c2571a")


def growth_curve(panels: Mapping[str, Mapping[str, Points]]) -> str:
    """An SVG with a panel for each title, which holds lines by their name."""
    drawn = [_panel(number, title, lines) for number, (title, lines) in enumerate(panels.items())]
    width = len(panels) * (PANEL_WIDTH + 2 * MARGIN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{PANEL_HEIGHT + 2 * MARGIN}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>{"".join(drawn)}</svg>\n'
    )


def _panel(number: int, title: str, lines: Mapping[str, Points]) -> str:
    rows = sorted({point[0] for points in lines.values() for point in points})
    costs = [cost for points in lines.values() for _, cost in points]
    x_bounds, y_bounds = _bounds(rows), _bounds(costs)

    def at(x: float, y: float) -> str:
        return f"{PANEL_WIDTH * _place(x, x_bounds):.1f},{PANEL_HEIGHT * (1 - _place(y, y_bounds)):.1f}"

    drawn = [f'<text y="-20" font-size="14">{escape(title)}</text><path d="M0,0V{PANEL_HEIGHT}H{PANEL_WIDTH}" {THIN}/>']
    for x in rows:
        place = at(x, y_bounds[0]).split(",")[0]
        drawn.append(f'<text x="{place}" y="{PANEL_HEIGHT + 18}" text-anchor="middle">{x:,}</text>')
    for (name, points), colour in zip(lines.items(), COLOURS, strict=False):
        (first, cost), last = points[0], points[-1][0]
        drawn.append(
            f'<polyline points="{at(first, cost)} {at(last, cost * last / first)}" {THIN} stroke-dasharray="5 4"/>'
        )
        path = " ".join(at(*point) for point in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in points:
            across, down = at(x, y).split(",")
            drawn.append(f'<circle cx="{across}" cy="{down}" r="3.5" fill="{colour}"/>')
            drawn.append(
                f'<text x="{across}" y="{float(down) - 9}" text-anchor="middle" fill="{colour}">{y:,.4g}</text>'
            )
        drawn.append(f'<text x="8" y="{14 + 16 * list(lines).index(name)}" fill="{colour}">{escape(name)}</text>')
    left = MARGIN + number * (PANEL_WIDTH + 2 * MARGIN)
    return f'<g transform="translate({left} {MARGIN})">{"".join(drawn)}</g>'


THIN = 'fill="none" stroke="#888"'


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """A little more than the values need, so that none lies on an axis."""
    return min(values) / 1.5, max(values) * 1.5


def _place(value: float, bounds: tuple[float, float]) -> float:
    low, high = map(math.log, bounds)
    return (math.log(value) - low) / (high - low)
