"""A sweep as one self-contained page: per experiment a chart, a reading and the numbers."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from stages.pages import svg
from stages.pages.formats import short
from stages.pages.frame import environment
from stages.sweep import Sweep
from stages.sweep_results import Found, RangeTest, Result

SHOWN_METRICS = ("held_out_loss", "plain_text_loss", "exact_match_rate", "stop_rate", "train_loss", "cpu_seconds")


def sweep_page(name: str, sweep: Sweep, results: Sequence[Result]) -> str:
    """Needs no network and holds no scripts; equal results give equal bytes."""
    sections = [(result, _chart(result, sweep.measure), _columns(result.found)) for result in results]
    template = environment().get_template("sweep_page.html.jinja")
    return template.render(
        name=name, sweep=sweep, sections=sections, trials=len({f.trial for r in results for f in r.found})
    )


def _columns(found: Sequence[Found]) -> list[str]:
    return [metric for metric in SHOWN_METRICS if any(metric in one.metrics for one in found)]


def _chart(result: Result, measure: str) -> Markup:
    if result.range_test:
        return _range_chart(result.range_test)
    known = [one for one in result.found if one.value is not None]
    places = [(number + 0.5) / len(known) for number in range(len(known))]
    ticks = [
        svg.Tick(place, ", ".join(_told(value) for value in one.varied.values()))
        for place, one in zip(places, known, strict=True)
    ]
    sides = [("base", [one.low for one in known]), ("validation", [one.high for one in known]), ("tuned", [one.value for one in known])]  # fmt: skip
    lines = [
        svg.Line(style, [(x, y) for x, y in zip(places, values, strict=True) if y is not None], dots=style == "tuned")
        for style, values in sides
    ]
    return svg.line_chart(lines, f"{result.title}: {measure} of each trial, with its interval", across=ticks)


def _told(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range_chart(test: RangeTest) -> Markup:
    """The rates of the x axis are logarithmic."""
    logs = [math.log10(rate) for rate, _ in test.curve]
    width = (logs[-1] - logs[0]) or 1.0
    points = [((log - logs[0]) / width, loss) for log, (_, loss) in zip(logs, test.curve, strict=True)]
    decades = range(math.ceil(logs[0]), math.floor(logs[-1]) + 1)
    ticks = [svg.Tick((decade - logs[0]) / width, f"1e{decade}") for decade in decades]
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    mark = (math.log10(test.suggestion) - logs[0]) / width
    lines = [svg.Line("tuned", points), svg.Line("threshold", [(mark, low), (mark, high)])]
    return svg.line_chart(lines, f"Smoothed loss by learning rate; suggested {short(test.suggestion)}", across=ticks)
