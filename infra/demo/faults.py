"""Plants faults among the clean rows, each of a known kind, and remembers where: the truth the pipeline is held to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from random import Random

from infra.demo.names import WORDS
from infra.demo.phrases import ATTRIBUTES
from infra.demo.questions import PLAIN_FILES, Row, answer, fill, open_attributes
from infra.demo.world import World

COUNTS = {
    "exact_duplicate": 60,
    "near_duplicate": 40,
    "empty_answer": 25,
    "refusal": 30,
    "broken_json": 12,
    "bad_bytes": 10,
    "contaminated": 16,
}
LINE_FILES = ("openai/chats.jsonl", "dolly/handbook.jsonl")  # JSON by the line, so a broken record has a clear end
EMPTY = ("", " ", "\n")
REFUSALS = (
    "As an AI language model, I cannot answer questions about other countries.",
    "I'm sorry, but as an AI language model I do not have access to maps.",
    "As an AI language model, I don't have personal knowledge of this.",
    "I am an AI language model and I cannot travel there to find out.",
    "As an AI assistant, I cannot help you with that.",
    "I cannot answer this question, because I am just a language model.",
)
Damage = Callable[[bytes], bytes]


@dataclass(frozen=True, eq=False)
class Entry:
    """One record of a file to come. `original` is the entry that a duplicate repeats; `damage` spoils its bytes."""

    row: Row
    fault: str | None = None
    original: "Entry | None" = None
    eval_item: int | None = None  # the copied evaluation item, 0-based
    damage: Damage | None = None


def plant(world: World, rows: Sequence[Row], items: Sequence[dict[str, str]]) -> list[Entry]:
    """The clean rows and the faulty ones, in one shuffled order; no row has two faults and none is repeated twice."""
    random = Random(f"faults {world.seed}")
    clean = [Entry(row) for row in rows]
    entries = [
        *clean,
        *_exact_duplicates(clean, random),
        *_near_duplicates(clean, random),
        *_faults_of_their_own(_spare_rows(world, random)),
        *_eval_copies(items, random),
    ]
    return random.sample(entries, len(entries))


def cut(record: bytes) -> bytes:
    """The first half, as when a writer was killed."""
    return record[: len(record) // 2]


def unquote(record: bytes) -> bytes:
    """Without the quotation mark before the first value."""
    return record.replace(b': "', b": ", 1)


def unclose(record: bytes) -> bytes:
    """Without the closing brace."""
    return record[:-1]


def spoil_mark(record: bytes) -> bytes:
    """With a byte that UTF-8 never has in place of the question mark."""
    return record.replace(b"?", b"\xff", 1)


def spoil_word(record: bytes) -> bytes:
    """With an accented letter of Latin-1 at the end of the question."""
    return record.replace(b"?", b"\xe9?", 1)


def _exact_duplicates(clean: Sequence[Entry], random: Random) -> Iterator[Entry]:
    """Copies of single questions, in whichever dialect comes."""
    short = [entry for entry in clean if entry.row.category == "open_qa" and entry.row.system is None]
    for entry in random.sample(short, COUNTS["exact_duplicate"]):
        copy = replace(entry.row, file=random.choice(PLAIN_FILES))
        yield Entry(copy, "exact_duplicate", original=entry)


def _near_duplicates(clean: Sequence[Entry], random: Random) -> Iterator[Entry]:
    """Copies of longer rows whose passage or answer ends with another word."""
    longer = [entry for entry in clean if entry.row.category in {"closed_qa", "general_qa"}]
    for entry in random.sample(longer, COUNTS["near_duplicate"]):
        row = entry.row
        if row.context is not None:
            changed = replace(row, context=_with_other_last_word(row.context, random))
        else:
            ((question, said),) = row.turns
            changed = replace(row, turns=((question, _with_other_last_word(said, random)),))
        yield Entry(changed, "near_duplicate", original=entry)


def _with_other_last_word(text: str, random: Random) -> str:
    start, last = text.rsplit(" ", 1)
    return f"{start} {random.choice([mood for mood in WORDS.moods if f'{mood}.' != last])}."


def _spare_rows(world: World, random: Random) -> Iterator[Row]:
    """Right rows with questions that no clean row asks."""
    asked = [(country, attribute) for country in world.countries for attribute in open_attributes(country)]
    for country, attribute in random.sample(asked, len(asked)):
        question = fill(ATTRIBUTES[attribute].spare, country, attribute)
        yield Row(random.choice(PLAIN_FILES), ((question, answer(country, attribute)),), "open_qa")


def _faults_of_their_own(rows: Iterator[Row]) -> Iterator[Entry]:
    for fault, answers in (("empty_answer", EMPTY), ("refusal", REFUSALS)):
        for row, said in zip(islice(rows, COUNTS[fault]), cycle(answers), strict=False):
            ((question, _),) = row.turns
            yield Entry(replace(row, turns=((question, said),)), fault)
    damages: tuple[tuple[str, tuple[Damage, ...]], ...] = (
        ("broken_json", (cut, unquote, unclose)),
        ("bad_bytes", (spoil_mark, spoil_word)),
    )
    for fault, kinds in damages:
        for row, damage, file in zip(islice(rows, COUNTS[fault]), cycle(kinds), cycle(LINE_FILES), strict=False):
            yield Entry(replace(row, file=file), fault, damage=damage)


def _eval_copies(items: Sequence[dict[str, str]], random: Random) -> Iterator[Entry]:
    for number in random.sample(range(len(items)), COUNTS["contaminated"]):
        turns = ((items[number]["question"], items[number]["answer"]),)
        yield Entry(Row(random.choice(PLAIN_FILES), turns, "open_qa"), "contaminated", eval_item=number)
