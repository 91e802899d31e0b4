"""A small invented world: countries with a capital, a river, a ruler and six more facts each, all from one seed."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from infra.demo.names import WORDS, NameMaker

COUNTRIES = 40
FOUNDED = (401, 999)  # years; three digits each


@dataclass(frozen=True)
class Country:
    """`facts`: attribute -> value. `reserved`: the one attribute that only the evaluation set asks about."""

    name: str
    facts: dict[str, str]
    reserved: str


@dataclass(frozen=True)
class World:
    """Everything there is to know."""

    seed: int
    countries: tuple[Country, ...]

    def write(self, path: Path) -> None:
        """Writes the world as JSON, from which `read_world` gets it back."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_world(path: Path) -> World:
    """The world that was written to `path`."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    return World(stored["seed"], tuple(Country(**country) for country in stored["countries"]))


def make_world(seed: int, countries: int = COUNTRIES) -> World:
    """A world of up to 40 countries in which no two share a value."""
    random = Random(f"world {seed}")
    names = NameMaker(random)
    values = {
        "animal": random.sample(WORDS.animals, countries),
        "craft": random.sample(WORDS.wares, countries),
        "founded": [str(year) for year in random.sample(range(*FOUNDED), countries)],
        "capital": [names.name("city") for _ in range(countries)],
        "river": [names.name("river") for _ in range(countries)],
        "ruler": [f"{random.choice(WORDS.titles)} {names.name('ruler')}" for _ in range(countries)],
        "mountain": [f"Mount {names.name('mountain')}" for _ in range(countries)],
        "coin": [names.name("coin").lower() for _ in range(countries)],
    }
    attributes = sorted(values)
    made = (
        Country(
            name=names.name("country"),
            facts={attribute: values[attribute][index] for attribute in attributes},
            reserved=attributes[index % len(attributes)],
        )
        for index in range(countries)
    )
    return World(seed, tuple(made))
