"""`python -m stages whatif filter`: what other thresholds would keep, without running anything. Light until it runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.contract import Params
from stages.errors import UsageError
from stages.numbers_given import not_negative
from stages.pipeline import STAGES
from stages.profile import Profile, load_profile, parse_value, resolve_params
from stages.store.storage import LocalStore

if TYPE_CHECKING:
    import polars as pl

FILTER = STAGES["filter"]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "stage", choices=[FILTER.name], metavar=FILTER.name, help="the stage that decides by thresholds"
    )
    parser.add_argument("--in-run", metavar="RUN", help="a run's name or folder (default: the latest)")
    parser.add_argument("--input", metavar="PATH", type=Path, help=f"the rows to ask about, instead of a run's: a folder or file of {FILTER.inputs[0]}")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="PARAM=VALUE", help="another value; repeatable. Without any, tells what each rule does now")  # fmt: skip
    parser.add_argument("--profile", metavar="NAME|FILE", help="the values to compare with, instead of the run's")
    parser.add_argument(
        "--examples", type=not_negative, default=2, metavar="N", help="rows quoted on each side (default 2)"
    )
    parser.add_argument("--store", type=Path, metavar="FOLDER")


def what_if(options: argparse.Namespace) -> str:
    """What each rule does now; with `--set`, what is kept now and then."""
    from stages.comparisons.what_if_text import comparison_text, rules_text, unmeasured_text
    from stages.measures.what_if import by_rule, newly_decided, outlook, token_rate, unmeasured

    rows, examples, run_params = _rows_of_file(options.input) if options.input else _rows_of_run(options)
    now: Any = _params(load_profile(options.profile), []) if options.profile else run_params
    rate = token_rate(rows, examples)
    before = outlook(rows, now, rate)
    if not options.set:
        return rules_text(before, by_rule(rows, now, options.examples), rate) + unmeasured_text(unmeasured(rows, now))
    then: Any = _params(Profile("now", "", {}, {FILTER.name: now.model_dump()}), options.set)
    moved = newly_decided(rows, now, then, options.examples)
    return comparison_text(before, outlook(rows, then, rate), rate, moved) + unmeasured_text(unmeasured(rows, then))


def _params(profile: Profile, settings: Sequence[str]) -> Params:
    overrides = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{text!r} is not of the form PARAM=VALUE, as in max_symbol_share=0.4")
        overrides[name.strip()] = parse_value(value)
    return resolve_params([FILTER], profile, {FILTER.name: overrides}, list(STAGES))[FILTER.name]


def _rows_of_file(path: Path) -> tuple["pl.LazyFrame", None, Params]:
    from stages.schema import load_schema
    from stages.store.storage import MANIFEST
    from stages.store.tables import read_given, read_table

    if not path.exists():
        raise UsageError(f"{path} does not exist; give a folder or file of {FILTER.inputs[0]}")
    sealed = (path / MANIFEST).is_file()
    rows = read_table(path) if sealed else read_given(path, load_schema(FILTER.inputs[0]))
    return rows, None, FILTER.params()


def _rows_of_run(options: argparse.Namespace) -> tuple["pl.LazyFrame", "pl.LazyFrame | None", Params]:
    from stages.execution.runs import default_store, find_run, stage_outputs
    from stages.store.tables import read_table

    store = LocalStore(options.store) if options.store else default_store()
    run = find_run(store, options.in_run or "latest")
    made = {**run.sources, **stage_outputs(run)}
    wanted = FILTER.inputs[0]
    if wanted not in made or FILTER.name not in run.params:
        raise UsageError(f"run {run.name} has no {wanted} yet; name another with --in-run, or give rows with --input")
    examples = read_table(made["examples"][0]) if "examples" in made else None
    return read_table(made[wanted][0]), examples, run.params[FILTER.name]
