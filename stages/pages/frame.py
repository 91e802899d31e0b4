"""Renders templates: escaped, with everything they name given, and numbers and texts written as `formats` says."""

from pathlib import Path

import jinja2

from stages.pages import formats, svg


def environment(*folders: Path) -> jinja2.Environment:
    """Templates of this folder and of `folders`, with the formats of `formats` as filters."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent, *folders]), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    names = ("count", "percent", "number", "metric", "cell", "spaced", "anchor", "quoted")
    made.filters |= {name: getattr(formats, name) for name in names} | {"share_bar": share_bar}
    return made


def share_bar(share: float) -> str:
    """A bar filled up to `share`."""
    return svg.bar([svg.Part(share, "kept", formats.percent(share))], formats.percent(share))
