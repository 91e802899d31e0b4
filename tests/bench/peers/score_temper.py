"""Temper's score and filter stages, all signals and all default rules, in the runner's batches."""

import sys
from pathlib import Path

import polars as pl
from score_timing import read_rows, report

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from stages.contract import DEFAULT_BATCH_ROWS
from stages.filter.stage import FilterParams
from stages.filter.transform import transform as filter_rows
from stages.schema import conform, load_schema
from stages.score.stage import ScoreParams
from stages.score.transform import transform as score_rows


def main() -> None:
    turns = [[("user", "prompt"), ("assistant", "answer")]]
    records = [
        {"row_id": row["id"], "messages": [{"role": role, "content": row[name]} for role, name in turns[0]]}
        for row in read_rows()
    ]
    rows = conform(pl.DataFrame(records).lazy(), load_schema("unique"), "bench").collect()
    rated = [pl.lit(None, pl.Float64).alias(n) for n in ("perplexity", "ifd", "ifd_length_rank", "judge_score")]

    def score() -> int:
        batches = rows.iter_slices(DEFAULT_BATCH_ROWS)
        scored = (score_rows(batch, params=ScoreParams()).scored for batch in batches)
        return sum(filter_rows(b.with_columns(rated), params=FilterParams()).kept.height for b in scored)

    report(rows.height, score)


if __name__ == "__main__":
    main()
