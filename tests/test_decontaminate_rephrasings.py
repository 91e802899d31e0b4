"""Items in other words: found, told apart from other questions of the same kind, and measured in every run."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from decontaminated import Decontaminated, decontaminated
from rows import conversation, table, write_jsonl
from shared_data import shared_data
from stages.decontaminate import synonyms
from stages.decontaminate.features import concept_counts
from stages.decontaminate.lexicon import concept_of
from stages.decontaminate.similarity import LEAST_SCORE
from stages.raw_files.source_files import list_source_files

# item, the same in other words, another question about the same things
PROBLEMS = [
    ("Ines rents a kayak for 3 hours at $14 an hour and pays a $25 deposit. How much does she hand over in total?",
     "For a deposit of $25 plus fourteen dollars hourly, Ines hires a kayak for three hours. What is the whole sum she pays?",
     "Ines paddles a kayak 6 miles in 2 hours. How many miles does she paddle in 5 hours?"),
    ("A lighthouse keeper climbs 212 steps twice a day. How many steps does he climb in a week of 7 days?",
     "Every day, the keeper of a lighthouse goes up its 212 steps two times. Find the number of steps in seven days.",
     "A lighthouse flashes every 9 seconds. How many times does it flash in an hour?"),
    ("Dario has 48 marbles and gives a third of them to his cousin. How many marbles are left?",
     "If Dario hands one third of his 48 marbles to a cousin, what number of marbles remains with him?",
     "Dario buys marbles in bags of 15 for $4. How much do 75 marbles cost?"),
    ("The orchard sold 130 crates of plums in July and 45 fewer in August. How many crates were sold in both months?",
     "In August an orchard's plum sales were 45 crates below July's 130. What do the two months add up to in crates?",
     "Each of 12 plum trees in the orchard gives 8 crates. A crate sells for $9. How much money is that?"),
    ("Mei knits a scarf of 180 centimetres, 12 centimetres each evening. After how many evenings is it finished?",
     "At 12 centimetres an evening, how many evenings will Mei take for knitting a scarf that is 180 centimetres long?",
     "Mei buys 5 balls of wool at $3.50 each for a scarf. What change does she get from $20?"),
    ("A tram holds 86 passengers. At the harbour 29 get off and 17 get on. How many ride on?",
     "On a tram there were 86 passengers. At the harbour 17 got in and 29 got out. What number stays on it?",
     "A tram line has 22 stops, 3 minutes apart. How long does the whole ride take?"),
]  # fmt: skip
TASKS = [
    ("Write a short story about a watchmaker who repairs memories.", "Compose a brief tale of a watchmaker repairing memories."),
    ("Explain how vaccines train the immune system.", "Describe the way the immune system is trained by vaccines."),
    ("List the advantages and drawbacks of remote teaching in rural schools.",
     "What are the pros and cons of rural schools teaching remotely?"),
]  # fmt: skip


def row(name: str, *turns: str, **columns: Any) -> dict[str, Any]:
    signals = {"repeated_trigram_share": 0.0, "symbol_share": 0.0, "digit_share": 0.0, "url_count": 0}
    return conversation(name, *turns, file=name, response_chars=1, response_words=1, **signals, **columns)


def run(folder: Path, rows: list[dict[str, Any]], records: list[dict[str, Any]], **params: Any) -> Decontaminated:
    write_jsonl(folder / "evals" / "sums.jsonl", records)
    evals = list_source_files([folder / "evals"])
    return decontaminated(table("kept", rows), evals, **params)


def rephrased(made: Decontaminated) -> dict[str, int]:
    """Name -> item of each row found in other words."""
    return dict(made.contaminated.filter(reason="eval_rephrased").select("file", "eval_item").rows())


ITEMS = [{"question": item} for item, _, _ in PROBLEMS] + [{"question": task} for task, _ in TASKS]


def test_items_in_other_words_are_found_and_other_questions_about_the_same_things_are_not(tmp_path: Path) -> None:
    same = [other for _, other, _ in PROBLEMS] + [other for _, other in TASKS]
    rows = [row(f"same {i}", text, "Well.") for i, text in enumerate(same)]
    rows += [row(f"different {i}", text, "Well.") for i, (_, _, text) in enumerate(PROBLEMS)]
    assert rephrased(run(tmp_path, rows, ITEMS)) == {f"same {i}": i for i in range(len(same))}


def test_evidence_says_the_item_and_what_is_shared(tmp_path: Path) -> None:
    made = run(tmp_path, [row("a", PROBLEMS[1][1], "2968")], ITEMS).contaminated.to_dicts()[0]
    assert made["evidence"].startswith("a lighthouse keeper climbs 212 steps twice a day.")
    shared = made["evidence"].split("(shared: ")[1]
    assert "212" in shared
    assert "lighthou" in shared
    assert LEAST_SCORE <= made["overlap"] < 1


@pytest.mark.parametrize("turns", [
    ("Hello", "Hello", PROBLEMS[1][1], "2968"),
    ("Below is an instruction. Please think step by step and explain your reasoning. " + PROBLEMS[1][1], "2968"),
    ("lorem ipsum dolor sit amet " * 60 + "\n\n" + PROBLEMS[1][1] + "\n" + " consectetur adipiscing elit" * 60, "2968"),
])  # fmt: skip
def test_an_item_in_other_words_is_found_in_later_turns_after_a_preamble_and_in_long_texts(
    tmp_path: Path, turns: tuple[str, ...]
) -> None:
    assert rephrased(run(tmp_path, [row("a", *turns)], ITEMS)) == {"a": 1}


@pytest.mark.parametrize("turn", [
    "Hello there! My uncle set me this riddle at breakfast and nobody at the table could solve it, not even my aunt, who "
    "reads the paper daily and knows every capital. What material do glassblowers in the valley of Orsk use when they seal "
    "a cracked lantern? I would be thankful for a hint before supper, since the whole family will ask me then.",
    'Complete this.\n\ndef f(a, b):\n    """Say which material the glassblowers of Orsk valley use to seal a lantern '
    'that has cracked.\n    >>> f(1, 2)\n    """\n    return a[b] if a else None  # otherwise nothing at all is returned, '
    "as the caller decides what becomes of it and the next in line is asked instead",
])  # fmt: skip
def test_an_item_is_found_among_other_sentences_and_in_the_text_of_a_function(tmp_path: Path, turn: str) -> None:
    asked = {"question": "Which material do glassblowers of the Orsk valley seal a cracked lantern with?"}
    assert rephrased(run(tmp_path, [row("a", turn, "Wax.")], [*ITEMS, asked])) == {"a": len(ITEMS)}


READERS = "Repeat the request word for word before you answer it, and say nothing of your own before the request."


def test_what_all_items_of_a_file_say_makes_no_row_like_them_and_hides_none(tmp_path: Path) -> None:
    asked = [
        "Why do lighthouse lamps rotate at night?",
        "Name four rivers that cross the old province of Galicia.",
        "Draft a limerick about a hungry violinist.",
        "Is ballistics an actual science?",
    ]
    items = [{"prompt": f"{text} {READERS}"} for text in asked]
    rows = [
        row("another", f"Suggest a gift for my grandmother. {READERS}", "Well."),
        row("the same", f"At night, why is it that the lamps of lighthouses rotate? {READERS.replace('before', 'and then')}", "Well."),
    ]  # fmt: skip
    assert rephrased(run(tmp_path, rows, items)) == {"the same": 0}


def test_none_looks_for_no_item_in_other_words(tmp_path: Path) -> None:
    made = run(tmp_path, [row("a", PROBLEMS[1][1], "2968")], ITEMS, max_false_positive_rate=None)
    assert made.clean.height == 1
    assert made.decontamination["least_score"].to_list() == [None]


def test_the_same_final_number_is_evidence_and_another_one_speaks_against(tmp_path: Path) -> None:
    items = [{"question": item, "answer": f"So #### {100 + i}"} for i, (item, _, _) in enumerate(PROBLEMS)]
    rows = [row(name, PROBLEMS[0][1], answer) for name, answer in [("same", "100"), ("none", "Hm."), ("other", "7")]]
    made = run(tmp_path, rows, items).contaminated
    score = dict(made.select("file", "overlap").rows())
    assert score["same"] > score["none"] > score["other"]


def test_another_short_answer_speaks_against_and_the_same_one_for_it(tmp_path: Path) -> None:
    items = [
        {"question": task, "answer": answer}
        for (task, _), answer in zip(TASKS, ["Springs", "Antibodies", "Distance"], strict=True)
    ]
    rows = [
        row(name, TASKS[1][1], answer)
        for name, answer in [("same", "By antibodies."), ("none", "Well."), ("other", "By luck.")]
    ]
    made = run(tmp_path, rows, items).contaminated
    score = dict(made.select("file", "overlap").rows())
    assert score["same"] > score["none"] > score["other"]


def test_the_choices_of_a_question_make_no_other_question_like_it(tmp_path: Path) -> None:
    organs = ["the spleen of a badger", "the gizzard of a heron", "the antenna of a moth", "the gill of a trout"]
    asked = {"question": "Which organ lets an animal smell a mate far away?", "choices": organs, "gold": 2}
    other = "\n".join(["What grinds hard seeds after a long meal?", *organs])
    same = "\n".join(["An animal can smell a mate that is far away with which organ?", *organs])
    rows = [row("other", other, "The gizzard."), row("same", same, "The antenna.")]
    assert rephrased(run(tmp_path, rows, [*ITEMS, asked])) == {"same": len(ITEMS)}


def test_the_description_of_a_function_is_an_item_without_its_code(tmp_path: Path) -> None:
    code = (
        "def fold_ribbon(length: int, times: int) -> int:\n"
        '    """ Return how long a ribbon of this length is after it was folded in the middle several times,\n'
        '    rounded down to whole centimetres.\n    >>> fold_ribbon(80, 2)\n    20\n    """\n'
    )
    rows = [
        row("verbatim", "Return how long a ribbon of this length is after it was folded in the middle several times, "
            "rounded down to whole centimetres.", "def f(): ..."),
        row("rephrased", "Implement a function that returns the length of a ribbon after folding it in the middle several "
            "times, rounding down to whole centimetres.", "def f(): ..."),
        row("other", "Write a function that sorts a list of ribbons by colour and removes those that occur twice.", "def f(): ..."),
    ]  # fmt: skip
    found = run(tmp_path, rows, [{"prompt": code, "entry_point": "fold_ribbon"}]).contaminated
    assert dict(found.select("file", "reason").rows()) == {"verbatim": "eval_exact", "rephrased": "eval_rephrased"}


@pytest.mark.parametrize(
    ("one", "other"),
    [("twenty", "20"), ("purchased", "buys"), ("dozen", "12"), ("3.0", "3"), ("running", "runs"), ("kids", "children"),
     ("largest", "maximum"), ("brackets", "parentheses"), ("concatenates", "joined"), ("moved", "movement"),
     ("played", "play"), ("staying", "stay"), ("city", "cities"), ("25%", "quarter"), ("50%", "half")],
)  # fmt: skip
def test_words_and_numbers_of_the_same_meaning_are_one(one: str, other: str) -> None:
    assert concept_of(one) == concept_of(other)


@pytest.mark.parametrize(
    ("one", "other"), [("move", "movie"), ("even", "equal"), ("formal", "form"), ("tally", "tale")]
)
def test_words_that_only_begin_alike_are_two(one: str, other: str) -> None:
    assert concept_of(one) != concept_of(other)


def test_a_share_is_one_number_however_it_is_written() -> None:
    written = pl.Series(["25 percent off", "25% off", "25 % off", "a quarter off"])
    assert concept_counts(written).filter(concept="#0.25")["owner"].sort().to_list() == [0, 1, 2, 3]


def test_a_word_has_one_meaning() -> None:
    words = synonyms.SYNONYMS.split()
    assert sorted(words) == sorted(set(words))


def test_an_item_of_code_is_found_in_the_words_of_another_programmer(tmp_path: Path) -> None:
    code = (
        "def widest_gap(values, limit):\n"
        '    """ From a given list of numbers remove all that are higher than the limit and return the maximum distance\n'
        '    between two adjacent elements.\n    >>> widest_gap([1, 4, 9], 9)\n    5\n    """\n'
    )
    rows = [
        row("same", "Write a function that drops every value greater than a threshold from an array of integers and gives "
            "the largest distance between two consecutive items.", "def f(): ..."),
        row("other", "Write a function that counts the numbers of a list which are higher than the limit.", "def f(): ..."),
    ]  # fmt: skip
    assert rephrased(run(tmp_path, rows, [*ITEMS, {"prompt": code, "entry_point": "widest_gap"}])) == {
        "same": len(ITEMS)
    }


SYNONYMS = {"how many": "what number of", "bought": "purchased", "buys": "purchases", "total": "overall sum"}
SYNONYMS |= {"each": "apiece", "gives": "hands", "left": "remaining", "makes": "earns", "costs": "is priced at"}
SYNONYMS |= {"wants to": "would like to", "money": "cash", "every day": "daily", "friends": "pals", "children": "kids"}
NUMBER_WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
FRAMES = ["Here is a riddle for you. {}", "{} Show the steps.", "Consider the following situation. {}", "{}"]


def in_other_words(question: str, number: int) -> str:
    """A rephrasing by rule: the question first, synonyms, small numbers in words, other names, another frame."""
    sentences = re.split(r"(?<=[.?!])\s+", question.strip())
    text = " ".join([sentences[-1], *sentences[:-1]])
    names = {word for word in re.findall(r"(?<=[a-z,] )[A-Z][a-z]+|^[A-Z][a-z]+", text) if len(word) > 3}
    for place, name in enumerate(sorted(names)):
        text = text.replace(name, ["Quentin", "Olympia", "Barnaby", "Xenia"][place % 4])
    for word, other in SYNONYMS.items():
        text = re.sub(rf"(?i)\b{word}\b", other, text)
    text = re.sub(r"\b(\d|1[012])\b(?![.,]\d)", lambda found: NUMBER_WORDS[int(found[1])], text)
    return FRAMES[number % len(FRAMES)].format(text)


def test_recall_on_rephrased_test_questions_and_false_positives_on_training_questions() -> None:
    evals = list_source_files([shared_data("eval/gsm8k_test.jsonl")])
    items = [json.loads(line)["question"] for line in shared_data("eval/gsm8k_test.jsonl").read_text().splitlines()]
    with gzip.open(shared_data("math/gsm8k_train.jsonl.gz"), "rt") as file:
        clean = [json.loads(line)["question"] for line in file][::3]
    rows = [row(f"item {i}", in_other_words(items[i], i), "Well.", source="planted") for i in range(0, 1319, 8)]
    rows += [row(f"clean {i}", text, "Well.", source="train") for i, text in enumerate(clean)]
    made = decontaminated(table("kept", rows), evals)
    found = made.contaminated
    right = found.filter(source="planted").filter(pl.col("file") == "item " + pl.col("eval_item").cast(pl.String))
    assert right.height >= 0.95 * 165
    assert found.filter(source="train").height <= 0.01 * len(clean)
    assert found.filter(source="planted", reason="eval_rephrased").height >= 0.8 * 165  # runs of words find few of them
    [rate] = made.decontamination["false_positive_rate"].to_list()
    assert 0 < rate <= 0.01
