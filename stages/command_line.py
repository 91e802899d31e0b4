"""The command line: python -m stages <command>, with its options. `run` is what a shell, a container and a DAG call alike."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from stages import commands, describe, plan_command
from stages.comparisons import what_if_command
from stages.contract import DEFAULT_BATCH_ROWS
from stages.errors import UsageError
from stages.numbers_given import not_negative, positive
from stages.pipeline import ALL, PIPELINES, STAGES
from stages.sweeps import sweep_command


class Parser(argparse.ArgumentParser):
    """Leaves with EX_USAGE instead of argparse's 2, which here means nothing."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(UsageError.exit_code, f"error: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options; the parameters of a stage come from its declaration."""
    parser = Parser(prog="python -m stages", description="Raw instruction data to a registered model, stage by stage.")
    verbs = parser.add_subparsers(required=True, metavar="command", parser_class=Parser)
    _add_run(verbs)
    _add_pipeline(verbs)
    _add_run_folder_commands(verbs)
    _add_questions(verbs)
    _add_diff(verbs)
    _add_what_if(verbs)
    _add_plan(verbs)
    _add_sweep(verbs)
    return parser


if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[Parser]


def _add_run(verbs: "Verbs") -> None:
    run = verbs.add_parser("run", help="run one stage")
    by_name = run.add_subparsers(required=True, metavar="stage", parser_class=Parser)
    for stage in STAGES.values():
        form = argparse.RawDescriptionHelpFormatter
        one = by_name.add_parser(
            stage.name,
            help=stage.purpose.replace("%", "%%"),
            description=describe.stage_page(stage),
            formatter_class=form,
        )
        one.set_defaults(command=commands.run, stage=stage)
        one.add_argument(
            "--input",
            action="append",
            default=[],
            metavar="DATASET=PATH",
            help="a dataset folder, or a plain JSONL or Parquet file; repeat it for several files from outside",
        )
        one.add_argument("--output", type=Path, metavar="FOLDER", help="where the result goes")
        one.add_argument(
            "--cache",
            type=Path,
            metavar="FOLDER",
            help="where the stage keeps what makes its next run faster; without it nothing outlives the run",
        )
        one.add_argument(
            "--run",
            metavar="RUN",
            help="take inputs and parameters from this run (name, folder or latest), and note the result there",
        )
        one.add_argument("--profile", metavar="NAME|FILE", help="parameters from a profile")
        _add_settings(one, "PARAM=VALUE")
        _add_execution(one)


def _add_pipeline(verbs: "Verbs") -> None:
    for verb, function, told in (
        ("pipeline", commands.pipeline, "run a whole pipeline here, without an orchestrator"),
        ("start", commands.start, "check a whole pipeline and write its plan; prints the run folder"),
    ):
        one = verbs.add_parser(verb, help=told)
        one.set_defaults(command=function)
        one.add_argument("name", choices=sorted(PIPELINES), metavar=f"{{{','.join(PIPELINES)}}}")
        one.add_argument("--profile", metavar="NAME|FILE")
        one.add_argument(
            "--source", action="append", default=[], metavar="DATASET=PATH", help="where a source lies; repeatable"
        )
        one.add_argument("--store", type=Path, metavar="FOLDER")
        one.add_argument("--run-name", metavar="NAME")
        if verb == "pipeline":
            one.add_argument("--dry-run", action="store_true", help="run nothing, say what would run")
        _add_settings(one, "STAGE.PARAM=VALUE")
        if verb == "pipeline":
            _add_execution(one)


def _add_run_folder_commands(verbs: "Verbs") -> None:
    finish = verbs.add_parser("publish", help="publish the data set that a run curated")
    finish.set_defaults(command=commands.publish)
    finish.add_argument("--run", required=True, metavar="RUN", help="its name or folder, or latest")


def _add_questions(verbs: "Verbs") -> None:
    questions = (
        ("list", commands.list_stages, "the stages", ()),
        ("graph", commands.graph, "the pipeline as a Mermaid flowchart", ("--pipeline",)),
        ("describe", commands.describe_one, "a stage or a dataset", ("name",)),
        ("explain", commands.explain, "why a stage would run again: what changed in its key", ("stage", "--store", "--in-run")),
        ("trace", commands.trace, "a row's life (row id), or what a model was trained on (name/version)", ("what", "--store")),
        ("ledger", commands.ledger, "the rows of a run, with reasons", ("which", "--store")),
        ("docs", commands.docs, "write the generated parts of README.md and schemas/README.md", ("--check",)),
    )  # fmt: skip
    for verb, function, told, arguments in questions:
        one = verbs.add_parser(verb, help=told)
        one.set_defaults(command=function)
        for argument in arguments:
            _add_argument(one, argument)


def _add_diff(verbs: "Verbs") -> None:
    one = verbs.add_parser("diff", help="rows in and out between two snapshots, with reasons")
    one.set_defaults(command=commands.diff)
    told = "a run (name, folder, latest), a dataset or result folder, a published version, or published"
    one.add_argument("before", metavar="snapshot", help=told)
    one.add_argument("after", metavar="snapshot", help="the same, to compare it with")
    one.add_argument(
        "--examples", type=not_negative, default=2, metavar="N", help="rows quoted of each class (default 2)"
    )
    one.add_argument("--output", type=Path, metavar="PAGE.HTML", help="write a page too")
    _add_argument(one, "--store")


def _add_what_if(verbs: "Verbs") -> None:
    one = verbs.add_parser("whatif", help="what other thresholds would keep, without running a stage")
    one.set_defaults(command=what_if_command.what_if)
    what_if_command.add_options(one)


def _add_plan(verbs: "Verbs") -> None:
    one = verbs.add_parser("plan", help="tokens, steps, memory and time of a training run, before any weight is read")
    one.set_defaults(command=plan_command.plan)
    plan_command.add_options(one)


def _add_sweep(verbs: "Verbs") -> None:
    told = "experiments: a grid of settings, a run for each, one comparison"
    sweep_command.add_options(verbs.add_parser("sweep", help=told))


def _add_argument(parser: argparse.ArgumentParser, name: str) -> None:
    if name == "--store":
        parser.add_argument(name, type=Path, metavar="FOLDER")
    elif name == "--check":
        parser.add_argument(name, action="store_true", help="change nothing; fail when something is out of date")
    elif name == "--pipeline":
        parser.add_argument(name, choices=sorted(PIPELINES), default=ALL.name)
    elif name == "which":
        parser.add_argument(name, nargs="?", default="latest", metavar="run", help="a run's name or folder, or latest")
    elif name == "--in-run":
        parser.add_argument(name, metavar="RUN", help="a run's name or folder (default: the latest)")
    elif name == "stage":
        parser.add_argument(name, choices=sorted(STAGES), metavar="stage")
    else:
        parser.add_argument(name)


def _add_settings(parser: argparse.ArgumentParser, form: str) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar=form,
        help="override a parameter, or one value of a mapping: by_task.code.max_symbol_share=0.4; repeatable",
    )


def _add_execution(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it runs (never changes the result)")
    group.add_argument(
        "--workers", type=positive, metavar="N", help="rows are worked on by so many at once (default: one per core)"
    )
    group.add_argument(
        "--batch-rows",
        type=positive,
        default=DEFAULT_BATCH_ROWS,
        metavar="N",
        help=f"most rows per batch of a rows stage (default {DEFAULT_BATCH_ROWS})",
    )
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        help="processes here (default), or tasks of a Ray cluster: TEMPER_RAY_ADDRESS, or one on this machine",
    )
    group.add_argument("--progress", choices=("text", "json", "off"), default="text", help="progress lines on stderr")
