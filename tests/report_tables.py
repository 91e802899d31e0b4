"""Sample tables for every section of the report: a small invented world, with hostile text in it."""

import math
import random
from pathlib import Path
from typing import Any

import polars as pl

from curated_run import filled
from rows import conversation, sealed, table
from stages.filter.stage import FilterParams
from stages.filter.transform import transform as filter_rows
from stages.schema import conform, load_schema
from stages.score.stage import ScoreParams
from stages.score.transform import transform as score_rows

HOSTILE = '<script>alert("x")</script><img src=https://evil.example/x.png onerror=alert(1)> \x00\x1b[31m \u202ereversed & done'
SOURCES = ("alpaca", "dolly", "sharegpt")
Rows = list[dict[str, Any]]


def invented_conversations(rows: int = 120) -> Rows:
    """Questions about invented towns, with some answers that a filter must reject."""
    chance = random.Random(7)
    made = []
    for number in range(rows):
        town = chance.choice(["Tess", "Or", "Kad", "Lun"]) + chance.choice(["mere", "vale", "ria", "by"])
        facts = [f"It has {chance.randint(2, 900)} houses.", "Barges carry salt there.", "Its bell rings at noon."]
        answer = " ".join([f"{town} lies on the river.", *facts * chance.randint(0, 4)])
        place: dict[str, Any] = {
            "source": SOURCES[number % 3],
            "file": f"{SOURCES[number % 3]}.jsonl",
            "record": number,
        }
        place["task"] = ("facts", "houses", None)[number % 3]
        made.append(conversation(f"town {number}", f"What is known about {town}, question {number}?", answer, **place))
    for number, answer in ((3, ""), (5, "As an AI language model, I cannot know."), (9, "and so on " * 40)):
        made[number]["messages"][1]["content"] = answer
    made[8]["messages"][0]["content"], made[8]["messages"][1]["content"] = HOSTILE, f"<noinput> {HOSTILE}"
    return made


def curated(folder: Path) -> dict[str, Path]:
    """Every table from `conversations` to `examples`, with rows set aside at each stage; all ledgers balance."""
    rows = table("unique", invented_conversations())
    unique, repeated = rows.head(108), rows.slice(108)
    scored = score_rows(unique, params=ScoreParams()).scored
    rated = conform(scored.lazy(), load_schema("rated"), "scored").collect()
    kept, rejected = filter_rows(rated, params=FilterParams())
    found = {
        "reason": "eval_ngram",
        "eval_file": "quiz.jsonl",
        "eval_item": 4,
        "evidence": "bell rings at noon",
        "overlap": 0.9,
    }
    clean = kept.slice(2)
    mixture = mixed(clean.slice(5))
    tables: dict[str, pl.DataFrame] = {
        "conversations": rows,
        "unique": unique,
        "duplicates": repeated.with_columns(
            unique["row_id"].head(12).alias("survivor_id"), pl.lit("prompt").alias("matched_key"),
            similarity=pl.int_range(12) / 22 + 0.5, reason=pl.lit("near_duplicate"),
        ),
        "scored": scored,
        "rated": rated,
        "kept": kept,
        "rejected": rejected,
        "contaminated": kept.head(2).with_columns(pl.lit(value).alias(name) for name, value in found.items()),
        "clean": clean,
        "left_out": clean.head(5).with_columns(reason=pl.lit("over_source_cap")),
        "mixture": mixture,
        "refused": mixture.head(3).with_columns(reason=pl.lit("too_long"), detail=pl.lit("700 tokens of at most 512")),
    }  # fmt: skip
    made = {name: rows.to_dicts() for name, rows in tables.items()}
    made |= {
        "decontamination": [checked("quiz.jsonl", 2), checked("other.jsonl", 0)],
        "mix_summary": [summed("source", "dolly"), summed("task", "")],
    }
    made |= {"quarantined": quarantined(), "examples": examples(mixture.slice(3))}
    return {name: sealed(folder / name, name, filled(name, rows)) for name, rows in made.items()}


def checked(eval_file: str, flagged: int) -> dict[str, Any]:
    """What decontaminate says of one evaluation file."""
    return {"eval_file": eval_file, "sha256": "0f" * 32, "items": 40, "eval_exact": 0, "eval_ngram": flagged,
            "eval_rephrased": 0, "too_common": 0, "least_score": 0.3, "false_positive_rate": 0.025}  # fmt: skip


def summed(part: str, name: str) -> dict[str, Any]:
    """What mix says of one source or task."""
    return {"part": part, "name": name, "requested_share": 0.5, "rows_available": 33, "rows_left_out": 3, "rows_validation": 2,
            "rows_test": 1, "rows_train": 27, "rows_seen": 54, "effective_epochs": 1.8, "share_of_rows": 0.421,
            "share_of_chars": 0.5}  # fmt: skip


def mixed(clean: pl.DataFrame) -> pl.DataFrame:
    """One row of ten for the test, one for validation, the others for training, twice an epoch."""
    held_out = {0: "test", 1: "validation"}
    split = (pl.int_range(pl.len()) % 10).replace_strict(held_out, default="train", return_dtype=pl.String)
    repeats = pl.when(pl.col("split") == "train").then(2).otherwise(1).cast(pl.Int32)
    return clean.with_columns(split=split).with_columns(repeats=repeats)


def quarantined() -> Rows:
    """Two faults of one record, one of another, and a file that could not be read at all."""
    fault = {"source": "dolly", "file": "dolly.jsonl", "record": 400, "byte_offset": 8111, "reason": "wrong_type"}
    return [
        {**fault, "field": "context", "found": "17", "expected": "a string", "fix": "quote it"},
        {**fault, "field": "response", "found": "null", "expected": "a string", "fix": "write the answer"},
        {"source": "csv", "file": "towns.csv", "record": 2, "reason": "invalid_utf8", "found": "\\xff\\xfe"},
        {"source": "csv", "file": "towns.png", "record": None, "reason": "unsupported_format", "found": "\\x89PNG"},
    ]


def examples(mixture: pl.DataFrame) -> Rows:
    """Ten tokens and more for each conversation, four of them supervised; the first is unrolled, every second cut short."""
    made = []
    for number, row in enumerate(mixture.select("row_id", "source", "split", "repeats").to_dicts()):
        tokens = 10 + number * 3
        example = {
            **row,
            "turn": 0,
            "answers_dropped": number % 2,
            "input_ids": list(range(tokens)),
            "loss_mask": [0] * (tokens - 4) + [1] * 4,
        }
        made += [example, {**example, "turn": 1}] if number == 0 else [example]
    return made


def trained(folder: Path) -> dict[str, Path]:
    """The tables that training, evaluation, registration and promotion make."""
    chance = random.Random(3)
    log = [
        {"step": step, "loss": 1.2 + 2.6 * math.exp(-step / 60) + chance.uniform(-0.08, 0.08), "learning_rate": 1e-3,
         "grad_norm": 0.5, "supervised_tokens": 900 * step, "total_tokens": 1500 * step,
         "validation_loss": 1.4 + 2.4 * math.exp(-step / 60) if step % 40 == 0 else None}
        for step in range(1, 401)
    ]  # fmt: skip
    tables: dict[str, Rows] = {
        "training_log": log, "evaluation": evaluation(), "generations": generations(),
        "model_version": [{
            "name": "towns", "version": 3, "uri": "models:/towns/3", "model_digest": "9f86d081" * 8,
            "examples_digest": "60303ae2" * 8, "served_as": "merged", "base_digest": "4355a46b" * 8,
        }],
        "verdict": verdict(),
    }  # fmt: skip
    return {name: sealed(folder / name, name, rows) for name, rows in tables.items()}


def evaluation() -> Rows:
    """Losses and rates of both models, some with an interval."""
    measured = [("held_out_loss", "all", 3.91, 1.42, 0.06), ("held_out_loss", "dolly", 4.2, 1.55, 0.12),
                ("plain_text_loss", "all", 2.61, 2.72, 0.05), ("stop_rate", "all", 0.01, 0.98, None)]  # fmt: skip
    return [
        {"metric": metric, "slice": part, "model": model, "value": value, "n": 100,
         "low": value - around if around else None, "high": value + around if around else None}
        for metric, part, base, tuned, around in measured
        for model, value in (("base", base), ("tuned", tuned))
    ]  # fmt: skip


def generations() -> Rows:
    """Answers of both models; one of the base's is hostile and all of them run on."""
    told = [
        ("What is the capital of Orvale?", "Tessmere.", "The capital of Orvale is " * 30, "Tessmere.", True),
        ("Name two rivers.", "The Lun and the Sorrow.", HOSTILE, "The Lun and the Sorrow.", True),
        ("Write a poem about rain.", "Rain falls.", "rain rain rain", "Rain falls on Tessmere\n" * 30, False),
    ]
    return [
        {"row_id": f"{number:04d}", "prompt": prompt, "reference": reference, "base_answer": base, "base_stopped": False,
         "tuned_answer": tuned, "tuned_stopped": stopped}
        for number, (prompt, reference, base, tuned, stopped) in enumerate(told)
    ]  # fmt: skip


def verdict() -> Rows:
    """One gate passed, one not."""
    return [
        {"gate": "no_worse_than_champion", "metric": "held_out_loss", "challenger": 1.42, "champion": 1.48, "bound": 1.48,
         "passed": True, "promoted": False, "detail": "100 held-out conversations, version 3 against version 2"},
        {"gate": "stops_reliably", "metric": "stop_rate", "challenger": 0.88, "champion": None, "bound": 0.9,
         "passed": False, "promoted": False, "detail": "88 of 100 answers ended by themselves"},
    ]  # fmt: skip
