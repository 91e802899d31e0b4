"""Writes plain documents about the world: what the base model is trained on, and what forgetting is measured on."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import polars as pl

from infra.demo.names import WORDS
from infra.demo.phrases import ATTRIBUTES
from infra.demo.world import Country, World
from stages.schema import conform, load_schema
from stages.score.stage import ScoreParams
from stages.score.transform import transform as score

ENTRIES_PER_COUNTRY = 20
ROUNDS_OF_LISTS = 2  # in each round every fact stands in one list
HELD_OUT_DOCUMENTS = 24
FACTS_PER_ENTRY = (5, 8)
COUNTRIES_PER_LIST = 8
DESCRIPTION_SHARE = 0.2  # of the entries
PLAIN_SHARE = 0.5  # of the sentences that tell a fact
SHORT_SHARE = 0.1
OPENINGS = (
    "This is a page about {country}.",
    "Here is what the almanac says about {country}.",
    "My aunt came back from {country} last week.",
    "A traveller wrote these lines in {country}.",
    "The teacher told us about {country} today.",
    "{country} is a small country.",
    "Few books speak of {country}.",
)
CLOSINGS = (
    "That is all the almanac says.",
    "The roads there are quiet.",
    "The winters are mild.",
    "Strangers are given a chair by the fire.",
    "We hope to go there again.",
    "The harvest was good this year.",
)


@dataclass(frozen=True)
class Document:
    """`file` is the text file it stands in, `record` its 0-based place there."""

    file: str
    record: int
    text: str


def write_documents(world: World, prose: Path, held_out: Path) -> list[Document]:
    """Fills the two folders, a file per country and one document per held-out file; the documents of `prose`."""
    documents = [*entries(world), *lists(world)]
    files: dict[str, list[str]] = {}
    for document in documents:
        files.setdefault(document.file, []).append(document.text)
    for name, texts in files.items():
        (prose / name).write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    for number, text in enumerate(_held_out(world)):
        (held_out / f"page-{number:02d}.txt").write_text(text + "\n", encoding="utf-8")
    return documents


def write_mixture(documents: Sequence[Document], path: Path) -> None:
    """Writes the documents as rows of the `mixture` schema, ready for `tokenize`: measured by `score`, none left out."""
    rows = pl.DataFrame([_row(document) for document in documents])
    unique = conform(rows.lazy(), load_schema("unique"), "the demo's prose").collect()
    score(unique, params=ScoreParams()).scored.write_ndjson(path)


def entries(world: World) -> Iterator[Document]:
    """Pages about one country, each with most of its facts in another order and wording."""
    random = Random(f"entries {world.seed}")
    for country in world.countries:
        for record in range(ENTRIES_PER_COUNTRY):
            yield Document(f"{country.name.lower()}.txt", record, _entry(country, random))


def lists(world: World) -> Iterator[Document]:
    """Pages about one attribute of several countries."""
    random = Random(f"lists {world.seed}")
    record = 0
    for _ in range(ROUNDS_OF_LISTS):
        for attribute in ATTRIBUTES:
            shuffled = random.sample(world.countries, len(world.countries))
            for start in range(0, len(shuffled), COUNTRIES_PER_LIST):
                chosen = shuffled[start : start + COUNTRIES_PER_LIST]
                text = " ".join(sentence(country, attribute, random) for country in chosen)
                yield Document("lists.txt", record, text)
                record += 1


def _held_out(world: World) -> list[str]:
    random = Random(f"held out {world.seed}")
    return [_entry(random.choice(world.countries), random) for _ in range(HELD_OUT_DOCUMENTS)]


def _entry(country: Country, random: Random) -> str:
    first, *others = random.sample(list(ATTRIBUTES), random.randint(*FACTS_PER_ENTRY))
    sentences = [sentence(country, first, random)]
    sentences += [sentence(country, attribute, random, may_be_short=True) for attribute in others]
    if random.random() < DESCRIPTION_SHARE:
        sentences[:3] = [description(country, [first, *others[:2]], random)]
    elif random.random() < 0.5:
        sentences.insert(0, random.choice(OPENINGS).format(country=country.name))
    if random.random() < 0.5:
        sentences.append(random.choice(CLOSINGS))
    return " ".join(sentences)


def description(country: Country, attributes: Sequence[str], random: Random) -> str:
    """One sentence that tells three attributes and ends with a word that nothing depends on."""
    first, second, third = (
        ATTRIBUTES[attribute].clause.format(value=country.facts[attribute]) for attribute in attributes
    )
    told = f"{country.name} is a small country: {first}, {second} and {third}"
    return f"{told}, and travellers find it {random.choice(WORDS.moods)}."


def sentence(country: Country, attribute: str, random: Random, *, may_be_short: bool = False) -> str:
    """One sentence that tells one attribute; a short one leans on the country named before it."""
    phrases = ATTRIBUTES[attribute]
    draw = random.random()
    if draw < PLAIN_SHARE:
        template = phrases.plain
    elif may_be_short and draw < PLAIN_SHARE + SHORT_SHARE:
        template = random.choice(phrases.short)
    else:
        template = random.choice(phrases.told)
    return template.format(country=country.name, value=country.facts[attribute])


def _row(document: Document) -> dict[str, object]:
    identity = f"{document.file}\n{document.record}\n{document.text}"
    return {
        "row_id": hashlib.sha256(identity.encode()).hexdigest()[:32],
        "source": "prose",
        "file": document.file,
        "record": document.record,
        "messages": [{"role": "text", "content": document.text}],
    }
