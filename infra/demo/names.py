"""Invents names that can be spoken, never repeats one, and gives each kind of thing its own endings."""

from collections.abc import Sequence
from random import Random

ONSETS = "b br c d dr f fl g gr h j k kl l m n p pr qu r s sk st t tr v w z".split()
VOWELS = "a e i o u ae ei".split()
MIDDLES = "l r n m s v d th lm nd rr st".split()
ENDINGS = {
    "country": "orra enth eskia ovar ulme assa irund eth".split(),
    "city": "holm quay mar stead gate by port wick".split(),
    "river": "el ane iss ow ura een".split(),
    "ruler": "a o is ea an ys".split(),
    "mountain": "ak orn ul arg usk od".split(),
    "coin": "at in ek ol um ir".split(),
}


class NameMaker:
    """Makes names one after another; a name is given once, and no two share their first five letters."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._taken: set[str] = set()

    def name(self, kind: str) -> str:
        """A capitalised new name with an ending of its kind, such as a `country` or a `river`."""
        while True:
            name = "".join(self._pick(part) for part in (ONSETS, VOWELS, MIDDLES, ENDINGS[kind]))
            if name[:5] not in self._taken:
                self._taken.add(name[:5])
                return name.capitalize()

    def _pick(self, parts: Sequence[str]) -> str:
        return self._random.choice(parts)
