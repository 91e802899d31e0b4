"""Makes the instruction rows of the demo, all clean, and the evaluation items: questions about facts of the world."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from infra.demo.names import WORDS
from infra.demo.phrases import ATTRIBUTES
from infra.demo.prose import description, sentence
from infra.demo.world import Country, World

OTHER_WORDING_SHARE = 0.2  # of the answers
SYSTEM_SHARE = 0.3  # of the openai rows
PASSAGES_PER_COUNTRY = 6
DESCRIPTIONS_PER_COUNTRY = 2
TALKS_PER_COUNTRY = 4
SYSTEM_TURNS = (
    "You know every country of the almanac. Answer in one sentence.",
    "You are a friendly guide for travellers.",
    "Answer briefly and correctly.",
)
DESCRIBE = ("Describe {country} in one sentence.", "Tell me about {country}.")
PLAIN_FILES = ("alpaca/atlas.json", "openai/chats.jsonl", "csv/quiz.csv", "sharegpt/talks.json", "dolly/handbook.jsonl")
PASSAGE_FILES = ("dolly/handbook.jsonl", "alpaca/reading.json")
DESCRIPTION_FILES = ("alpaca/atlas.json", "openai/guides.jsonl")
TALK_FILES = ("sharegpt/talks.json", "openai/guides.jsonl")


@dataclass(frozen=True)
class Row:
    """A conversation in no dialect yet. `turns` are pairs of question and answer; the last answer is what it teaches."""

    file: str  # below the raw folder
    turns: tuple[tuple[str, str], ...]
    category: str
    system: str | None = None
    context: str | None = None  # a passage that goes with the question


def make_rows(world: World) -> list[Row]:
    """Every clean row, none about a country's reserved attribute."""
    random = Random(f"rows {world.seed}")
    makers = (_plain_rows, _passage_rows, _descriptions, _talks)
    rows = [row for make in makers for country in world.countries for row in make(country, random)]
    return [_with_system_turn(row, random) if row.file.startswith("openai/") else row for row in rows]


def eval_items(world: World) -> list[dict[str, str]]:
    """One question and answer per country, about the attribute that no clean row asks about."""
    return [
        {"question": fill(ATTRIBUTES[c.reserved].quiz, c, c.reserved), "answer": answer(c, c.reserved)}
        for c in world.countries
    ]


def open_attributes(country: Country) -> list[str]:
    """The attributes that rows may ask about and mention."""
    return [attribute for attribute in ATTRIBUTES if attribute != country.reserved]


def fill(template: str, country: Country, attribute: str) -> str:
    """The template as text about the country."""
    return template.format(country=country.name, value=country.facts[attribute])


def answer(country: Country, attribute: str) -> str:
    """The full sentence that answers a question about the attribute."""
    return fill(ATTRIBUTES[attribute].plain, country, attribute)


def _plain_rows(country: Country, random: Random) -> Iterator[Row]:
    for attribute in open_attributes(country):
        files = random.sample(PLAIN_FILES, len(ATTRIBUTES[attribute].asked))
        for question, file in zip(ATTRIBUTES[attribute].asked, files, strict=True):
            said = answer(country, attribute)
            if random.random() < OTHER_WORDING_SHARE:
                said = fill(ATTRIBUTES[attribute].told[1], country, attribute)
            yield Row(file, ((fill(question, country, attribute), said),), "open_qa")


def _passage_rows(country: Country, random: Random) -> Iterator[Row]:
    for number in range(PASSAGES_PER_COUNTRY):
        told = random.sample(open_attributes(country), 5)
        passage = " ".join(sentence(country, attribute, random) for attribute in told)
        passage += f" Travellers find {country.name} {random.choice(WORDS.moods)}."
        asked = random.choice(told)
        question = fill(random.choice(ATTRIBUTES[asked].asked), country, asked)
        file = PASSAGE_FILES[number % len(PASSAGE_FILES)]
        yield Row(file, ((question, answer(country, asked)),), "closed_qa", context=passage)


def _descriptions(country: Country, random: Random) -> Iterator[Row]:
    shuffled = random.sample(open_attributes(country), 3 * DESCRIPTIONS_PER_COUNTRY)
    for number in range(DESCRIPTIONS_PER_COUNTRY):
        said = description(country, shuffled[3 * number : 3 * number + 3], random)
        yield Row(DESCRIPTION_FILES[number], ((DESCRIBE[number].format(country=country.name), said),), "general_qa")


def _talks(country: Country, random: Random) -> Iterator[Row]:
    """Talks of two or three turns that share hardly any facts, so that none is nearly another."""
    order = random.sample(open_attributes(country), len(ATTRIBUTES) - 1)
    for number in range(TALKS_PER_COUNTRY):
        first, *others = (order + order)[2 * number : 2 * number + random.randint(2, 3)]
        turns = [(fill(random.choice(ATTRIBUTES[first].asked), country, first), answer(country, first))]
        turns += [(ATTRIBUTES[attribute].follow, answer(country, attribute)) for attribute in others]
        yield Row(TALK_FILES[number % len(TALK_FILES)], tuple(turns), "conversation")


def _with_system_turn(row: Row, random: Random) -> Row:
    return replace(row, system=random.choice(SYSTEM_TURNS)) if random.random() < SYSTEM_SHARE else row
