"""A sweep as one self-contained page: per experiment a chart, a reading and the numbers."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from stages.pages import svg
from stages.pages.formats import short
from stages.pages.frame import environment
from stages.sweeps.sweep import Sweep
from stages.sweeps.sweep_noise import Setting
from stages.sweeps.sweep_results import RangeTest, Result

SHOWN_METRICS = ("held_out_loss", "plain_text_loss", "exact_match_rate", "stop_rate", "train_loss", "cpu_seconds")


def sweep_page(name: str, sweep: Sweep, results: Sequence[Result]) -> str:
    """Needs no network and holds no scripts; equal results give equal bytes."""
    sections = [(result, _chart(result, sweep.measure), _columns(result.settings)) for result in results]
    template = environment().get_template("sweep_page.html.jinja")
    return template.render(
        name=name, sweep=sweep, sections=sections, trials=len({f.trial for r in results for f in r.found})
    )


def _columns(settings: Sequence[Setting]) -> list[str]:
    return [metric for metric in SHOWN_METRICS if any(one.spread(metric) for one in settings)]


def _chart(result: Result, measure: str) -> Markup:
    """With several seeds a thin line for each, as runs of one seed belong together; else the interval of each run."""
    if result.range_test:
        return _range_chart(result.range_test)
    known = [one for one in result.settings if one.value is not None]
    places = [(number + 0.5) / len(known) for number in range(len(known))]
    ticks = [
        svg.Tick(place, ", ".join(_told(value) for value in one.varied.values()))
        for place, one in zip(places, known, strict=True)
    ]
    runs = [one.runs[0] for one in known]
    sides = [("base", [one.low for one in runs]), ("validation", [one.high for one in runs])]
    around = "its interval"
    if result.experiment.seeds > 1:
        sides = [("base", [one.by_seed.get(seed) for one in known]) for seed in range(result.experiment.seeds)]
        around = "the run of each seed"
    sides.append(("tuned", [one.value for one in known]))
    lines = [
        svg.Line(style, [(x, y) for x, y in zip(places, values, strict=True) if y is not None],
                 dots=style == "tuned" or result.experiment.seeds > 1)
        for style, values in sides
    ]  # fmt: skip
    return svg.line_chart(lines, f"{result.title}: {measure} of each setting, with {around}", across=ticks)


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
