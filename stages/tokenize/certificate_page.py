"""The mask certificate as one self-contained HTML page that looks like the data report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.pages.frame import environment
from stages.tokenize.refusal import REASONS

SHOWN_CHARS = 2_000  # of a run of text


def certificate_page(certificate: Mapping[str, Any]) -> str:
    """Needs no network and holds no scripts; the same certificate gives the same bytes."""
    facts = {
        "certificate": certificate,
        "reasons": REASONS,
        "refused": {reason: found for reason, found in certificate["refused"].items() if found["rows"]},
        "lost": {source: found for source, found in certificate["truncation"].items() if any(found.values())},
        "shown_chars": SHOWN_CHARS,
    }
    made = environment(Path(__file__).parent)
    return made.get_template("certificate_page.html.jinja").render(facts)
