"""A real browser for tests of pages: what a page measures and what it looks like, at a given width, light or dark."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing of the browser's own reaches for a network, and no animation is caught half-way.
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--allow-file-access-from-files", "--force-prefers-reduced-motion")  # fmt: skip
DARK = ("--blink-settings=preferredColorScheme=0", "--force-dark-mode")
FRAME = """<body style="margin:0"><iframe id="f" src="{page}" style="width:{width}px;height:{height}px;border:0"></iframe>
<pre id="measured"></pre><script>
document.getElementById("f").onload = (e) => {{
  const page = e.target.contentDocument, wide = page.scrollingElement.clientWidth;
  if ({measured}) {{
    page.querySelectorAll("details").forEach((d) => d.open = true);
    const shown = [...page.querySelectorAll("p, td, th, summary, li, h1, h2, h3, b, dd, mark")].filter((n) => n.getClientRects().length);
    const out = shown.filter((n) => !n.closest(".scroll, nav") && n.getBoundingClientRect().right > wide + 1);
    document.getElementById("measured").textContent = JSON.stringify({{
      width: page.scrollingElement.scrollWidth, height: page.scrollingElement.scrollHeight,
      hidden_tables: [...page.querySelectorAll("table")].filter((n) => !n.getClientRects().length).length,
      cut_off: [...page.querySelectorAll(".scroll")].filter((n) => n.scrollWidth > n.clientWidth + 1).map((n) => n.textContent.trim().slice(0, 40)),
      sticking_out: out.map((n) => n.tagName + " " + n.textContent.slice(0, 40)),
      smallest_font_px: Math.min(...shown.map((n) => parseFloat(getComputedStyle(n).fontSize))),
    }});
  }}
}};</script></body>"""


def find_browser() -> str:
    """A Chromium on the PATH, or the test is skipped with what is missing."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH (apt-get install chromium)")


def measure(page: Path, width: int, folder: Path) -> dict[str, Any]:
    """What the page measures `width` px wide with all its details open: JSON of FRAME's script."""
    dom = _browse(page, (width, 900), folder, ["--virtual-time-budget=5000", "--dump-dom"], measured=True)
    found = re.search(r'<pre id="measured">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None, "the page did not load"
    return dict(json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")))


def screenshot(page: Path, size: tuple[int, int], folder: Path, *, dark: bool = False) -> npt.NDArray[np.uint8]:
    """The top of the page as pixels: height x width x RGB. The PNG is left in `folder`."""
    picture = folder / f"{page.stem}-{size[0]}{'-dark' if dark else ''}.png"
    _browse(page, size, folder, [f"--screenshot={picture}", *(DARK if dark else ())])
    from PIL import Image

    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))


def share_of(pixels: npt.NDArray[np.uint8], colour: str) -> float:
    """Share of the pixels that have a colour such as #0f766e, give or take the browser's rounding."""
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return float((np.abs(pixels.astype(int) - wanted).max(axis=2) <= 2).mean())


def _browse(page: Path, size: tuple[int, int], folder: Path, flags: list[str], *, measured: bool = False) -> str:
    frame = folder / f"frame-{size[0]}.html"
    facts = {"width": size[0], "height": size[1], "measured": "true" if measured else "false"}
    frame.write_text(FRAME.format(page=page.as_uri(), **facts), encoding="utf-8")
    private = [f"--user-data-dir={folder / 'browser'}", f"--window-size={size[0]},{size[1]}"]
    command = [find_browser(), *FLAGS, *private, *flags, frame.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
