"""Trees of messages, nested or as flat exports -> a conversation for each path, or for the best one."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from ingest_run import ingest, ingest_records, ingest_text
from shared_data import shared_data


def tree(role: str, text: str, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": role, "text": text, "replies": list(replies), **more}


def test_a_tree_gives_a_conversation_for_each_last_answer(tmp_path: Path) -> None:
    prompt = tree("prompter", "q",
                  tree("assistant", "a1"),
                  tree("assistant", "a2", tree("prompter", "thanks")),
                  tree("assistant", "a3", tree("prompter", "and?", tree("assistant", "b")), tree("prompter", "unanswered")))  # fmt: skip
    made = ingest_records([{"message_tree_id": "t", "prompt": prompt}], tmp_path)
    first = ("user", "q")
    assert made.turns == [
        [first, ("assistant", "a1")],
        [first, ("assistant", "a2")],
        [first, ("assistant", "a3"), ("user", "and?"), ("assistant", "b")],
    ]
    assert made.conversations["repairs"].to_list() == [None, ["trailing_turns_removed"], None]
    assert made.conversations["record"].to_list() == [1, 1, 1]


def test_a_path_weighs_what_its_last_answer_says_or_else_its_record(tmp_path: Path) -> None:
    prompt = tree("prompter", "q", tree("assistant", "a", weight=0.5), tree("assistant", "b"))
    flat = [{"message_id": name, "parent_id": parent, "role": role, "text": name, "weight": weight}
            for name, parent, role, weight in [("1", None, "prompter", 9), ("2", "1", "assistant", 3), ("3", "1", "assistant", None)]]  # fmt: skip
    made = ingest_records([{"message_tree_id": "t", "prompt": prompt, "weight": 2}, *flat], tmp_path)
    assert [(turns[-1][1], weight) for turns, weight in zip(made.turns, made.conversations["weight"], strict=True)] == [
        ("a", 0.5), ("b", 2.0), ("2", 3.0), ("3", None)
    ]  # fmt: skip


def test_a_bad_message_in_a_tree_costs_only_the_paths_through_it(tmp_path: Path) -> None:
    deleted = tree("assistant", "", tree("prompter", "x", tree("assistant", "y"), tree("assistant", "z")), deleted=True)
    prompt = tree("prompter", "q", tree("assistant", "a"), deleted, tree("assistant", "bad \0"))
    made = ingest_records([{"message_tree_id": "t", "prompt": prompt}], tmp_path)
    assert made.turns == [[("user", "q"), ("assistant", "a")]]
    assert sorted(made.faults, key=str) == [
        (1, "deleted_message", "prompt.replies[1].deleted"),
        (1, "nul_character", "prompt.replies[2].text"),
    ]


def test_an_answer_stays_though_what_follows_it_is_at_fault(tmp_path: Path) -> None:
    prompt = tree("prompter", "q",
                  tree("assistant", "a1", tree("prompter", "gone", tree("assistant", "b"), deleted=True)),
                  tree("assistant", "a2", tree("prompter", "and?", tree("assistant", " "))))  # fmt: skip
    made = ingest_records([{"message_tree_id": "t", "prompt": prompt}], tmp_path)
    assert made.turns == [[("user", "q"), ("assistant", "a1")], [("user", "q"), ("assistant", "a2")]]
    assert made.conversations["repairs"].to_list() == [None, ["trailing_turns_removed"]]
    assert made.faults == [
        (1, "deleted_message", "prompt.replies[0].replies[0].deleted"),
        (1, "empty_answer", "prompt.replies[1].replies[0].replies[0].text"),
    ]


def test_the_answer_before_an_unanswered_turn_stays_only_where_that_repair_is_allowed(tmp_path: Path) -> None:
    prompt = tree("prompter", "q", tree("assistant", "a", tree("prompter", "and?")))
    made = ingest_records([{"message_tree_id": "t", "prompt": prompt}], tmp_path, repairs=[])
    assert made.turns == []
    assert made.faults == [(1, "unanswered_turn", "prompt.replies[0].replies[0].text")]


def test_no_branch_of_a_tree_is_lost_where_its_questions_are_merged(tmp_path: Path) -> None:
    prompt = tree("prompter", "q", tree("prompter", "please", tree("assistant", "a1"), tree("assistant", "a2")))
    made = ingest_records([{"message_tree_id": "t", "prompt": prompt}], tmp_path, repairs=["user_turns_merged"])
    question = ("user", "q\n\nplease")
    assert made.turns == [[question, ("assistant", "a1")], [question, ("assistant", "a2")]]


def message(name: str, parent: str | None, role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"message_id": name, "parent_id": parent, "role": role, "text": text, **more}


FLAT = [
    message("c", "b", "prompter", "and?"),
    message("a", None, "prompter", "q"),
    message("b", "a", "assistant", "a1", rank=1),
    message("b2", "a", "assistant", "a2", rank=0),
    message("d", "c", "assistant", "more"),
    message("u", "b2", "prompter", "unanswered"),
    message("x", "nowhere", "assistant", "lost"),
    message("b", "a", "assistant", "twice"),
    message("e", "d", "assistant", "two in a row"),
]
LONG = [("user", "q"), ("assistant", "a1"), ("user", "and?"), ("assistant", "more")]
SHORT = [("user", "q"), ("assistant", "a2")]


def test_a_flat_export_becomes_the_conversations_of_its_trees(tmp_path: Path) -> None:
    made = ingest_records(FLAT[:-1], tmp_path)
    assert made.turns == [SHORT, LONG]
    assert made.conversations["record"].to_list() == [4, 5]  # where the last message of each stands
    assert made.conversations["repairs"].to_list() == [["trailing_turns_removed"], None]
    assert made.faults == [(7, "missing_parent", "parent_id"), (8, "duplicate_message", "message_id")]
    assert made.facts["dialects"] == {"oasst_flat": 6, "alpaca": 1}
    offsets = [len(json.dumps({"instruction": "Say a.", "output": "a"})) + 1]
    offsets += [len(json.dumps(row)) + 1 for row in FLAT]
    assert made.quarantined["byte_offset"].to_list() == [sum(offsets[:7]), sum(offsets[:8])]


def test_a_fault_in_a_flat_tree_is_told_of_its_message(tmp_path: Path) -> None:
    made = ingest_records([row for row in FLAT if row["message_id"] != "x"], tmp_path)
    assert made.turns == [SHORT, LONG]
    assert (8, "two_assistant_turns", "text") in made.faults


def test_the_best_path_follows_the_ranks(tmp_path: Path) -> None:
    nested = {"role": "prompter", "text": "q", "replies": [
        {"role": "assistant", "text": "a1", "rank": 1, "replies": []}, {"role": "assistant", "text": "a2", "rank": 0},
        {"role": "assistant", "text": "a3", "rank": None}, {"role": "assistant", "text": "a4", "rank": -1, "deleted": True}]}  # fmt: skip
    made = ingest_records([*FLAT[:6], {"message_tree_id": "t", "prompt": nested}], tmp_path, tree_paths="best")
    assert made.turns == [SHORT, SHORT]


def test_a_flat_export_and_a_nested_one_hold_the_same_conversations(tmp_path: Path) -> None:
    trees = [json.loads(line) for line in shared_data("oasst/en_100_tree.jsonl").read_text().splitlines()]
    flat: list[dict[str, Any]] = []
    for tree in trees:
        waiting = [(tree["prompt"], None)]
        while waiting:
            node, parent = waiting.pop()
            flat.append(
                {"message_id": f"m{len(flat)}", "parent_id": parent, "role": node["role"], "text": node["text"]}
            )
            waiting += [(reply, flat[-1]["message_id"]) for reply in node["replies"]]
    (tmp_path / "flat").mkdir()
    (tmp_path / "nested").mkdir()
    made = ingest_text("".join(json.dumps(row) + "\n" for row in reversed(flat)), tmp_path / "flat")
    nested = ingest(shared_data("oasst/en_100_tree.jsonl"), folder=tmp_path / "nested")
    assert sorted(made.conversations["content_id"]) == sorted(nested.conversations["content_id"])


def test_flat_trees_in_parquet_are_put_together_too(tmp_path: Path) -> None:
    pl.DataFrame(FLAT[:6]).write_parquet(tmp_path / "flat.parquet")
    assert ingest(tmp_path / "flat.parquet", folder=tmp_path).turns == [SHORT, LONG]


def test_flat_trees_in_csv_say_deleted_and_rank_in_words(tmp_path: Path) -> None:
    lines = ["message_id,parent_id,role,text,rank,deleted", "a,,prompter,q,,False", "b,a,assistant,a1,1.0,False",
             "b2,a,assistant,a2,0.0,False", "b3,a,assistant,a3,0.0,True"]  # fmt: skip
    for paths in ("all", "best"):
        (tmp_path / paths).mkdir()
    every, best = (
        ingest_text("\n".join(lines), tmp_path / paths, "flat.csv", tree_paths=paths) for paths in ("all", "best")
    )
    assert every.turns == [[*SHORT[:1], ("assistant", "a1")], SHORT]
    assert every.faults == [(3, "deleted_message", "deleted")]
    assert best.turns == [SHORT]
