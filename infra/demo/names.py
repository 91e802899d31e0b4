"""Invents names that can be spoken, never repeats one, and gives each kind of thing its own endings."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import yaml


class Words(NamedTuple):
    """What words.yaml holds."""

    onsets: list[str]
    vowels: list[str]
    middles: list[str]
    endings: dict[str, list[str]]  # kind of thing -> endings of its names
    titles: list[str]
    animals: list[str]
    wares: list[str]
    moods: list[str]


WORDS = Words(**yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8")))


class NameMaker:
    """Makes names one after another; a name is given once, and no two share their first five letters."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._taken: set[str] = set()

    def name(self, kind: str) -> str:
        """A capitalised new name with an ending of its kind, such as a `country` or a `river`."""
        while True:
            parts: list[Sequence[str]] = [WORDS.onsets, WORDS.vowels, WORDS.middles, WORDS.endings[kind]]
            name = "".join(self._random.choice(part) for part in parts)
            if name[:5] not in self._taken:
                self._taken.add(name[:5])
                return name.capitalize()
