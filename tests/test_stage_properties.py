"""What every pure stage promises, tested alike on any table that its input's schema allows.

A new stage is tested here without a line being written: valid output, the same bytes for the same rows in any order
and any split, and no row lost.
"""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.contract import Params, Stage
from stages.pipeline import STAGES
from stages.processes.carried_rows import Earlier
from stages.processes.engine import transform_of
from stages.schema import check_table, load_schema
from strategies import tables
from tiny_tokenizer import make_tokenizer
from workbench import say_nothing

PURE = [stage for stage in STAGES.values() if stage.kind != "job"]
ROWS = [stage for stage in PURE if stage.kind == "rows"]
Tables = dict[str, pl.DataFrame]

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@cache
def params_of(stage: Stage) -> Params:
    """Default parameters, and for tokenize the tokenizer that has no default."""
    needed = {"tokenizer": str(tokenizer()), "template": "chatml"} if stage.name == "tokenize" else {}
    return stage.params(**needed)


@cache
def tokenizer() -> Path:
    return make_tokenizer(Path(mkdtemp()) / "tokenizer")


def run(stage: Stage, given_rows: pl.DataFrame) -> Tables:
    """The stage's outputs for `given_rows`, each sorted by its key as the runner sorts it."""
    value: Any = given_rows if stage.kind == "rows" else given_rows.lazy()
    others: dict[str, Any] = dict.fromkeys((*stage.inputs[1:], *stage.optional_inputs))
    others |= {"progress": say_nothing} if stage.kind == "table" else {}
    made = transform_of(stage.name)(**{stage.inputs[0]: value}, **others, params=params_of(stage))._asdict()
    return {name: made[name].lazy().collect().sort(load_schema(name).key) for name in made if name in stage.outputs}


def named(stages: list[Stage]) -> Any:
    return pytest.mark.parametrize("stage", stages, ids=[stage.name for stage in stages])


def assert_equal(one: Tables, other: Tables) -> None:
    for name, table in one.items():
        assert table.equals(other[name]), f"{name} differs:\n{table}\n{other[name]}"


@named(PURE)
@few
@given(data=st.data())
def test_rows_in_any_order_give_the_same_valid_tables_and_each_is_kept_or_set_aside_once(
    stage: Stage, data: st.DataObject
) -> None:
    rows = data.draw(tables(stage.inputs[0]))
    made = run(stage, rows)
    for name, table in made.items():
        check_table(table, load_schema(name), name)
    if stage.sets_aside:
        kept, aside = (made[str(name)]["row_id"].to_list() for name in (stage.keeps, stage.sets_aside))
        assert sorted(kept + aside) == sorted(rows["row_id"])
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=data.draw(st.integers(0, 1000)))
    assert_equal(made, run(stage, shuffled))


@named(ROWS)
@few
@given(data=st.data())
def test_any_split_of_the_rows_changes_nothing(stage: Stage, data: st.DataObject) -> None:
    rows = data.draw(tables(stage.inputs[0]))
    cut = data.draw(st.integers(0, rows.height))
    parts = [run(stage, rows.head(cut)), run(stage, rows.slice(cut))]
    joined = {name: pl.concat([part[name] for part in parts]).sort(load_schema(name).key) for name in parts[0]}
    assert_equal(run(stage, rows), joined)


@named(ROWS)
@few
@given(data=st.data())
def test_rows_taken_from_an_earlier_result_are_those_that_would_be_made(
    tmp_path_factory: pytest.TempPathFactory, stage: Stage, data: st.DataObject
) -> None:
    then, others = (data.draw(tables(stage.inputs[0])) for _ in range(2))
    stays = data.draw(st.lists(st.booleans(), min_size=then.height, max_size=then.height))
    same = then.filter(pl.Series(stays, dtype=pl.Boolean))
    now = pl.concat([same, others.join(same, on="row_id", how="anti")]).sort("row_id")
    folder, made = tmp_path_factory.mktemp("earlier"), run(stage, then)
    for name, table in {"rows": then.sort("row_id"), **made}.items():
        (folder / name).mkdir()
        table.write_parquet(folder / name / "part-00000.parquet")
    computed = list[int]()

    def make(some: pl.DataFrame) -> Tables:
        computed.append(some.height)
        return run(stage, some)

    assert_equal(run(stage, now), Earlier(folder / "rows", folder).beside(now, make))
    assert computed == [now.join(then, on="row_id", how="anti").height + changed(now, then)]


def changed(now: pl.DataFrame, then: pl.DataFrame) -> int:
    """Rows that are in both, with other values."""
    before = {row["row_id"]: row for row in then.to_dicts()}
    return sum(row["row_id"] in before and before[row["row_id"]] != row for row in now.to_dicts())
