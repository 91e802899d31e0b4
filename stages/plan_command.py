"""`python -m stages plan train`: what a run will take, before anything is spent. Light until it runs."""

import argparse
import importlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.contract import Params, Stage
from stages.errors import ConfigError, DataError, UsageError
from stages.pipeline import STAGES
from stages.profile import load_profile, parse_value, resolve_params

TRAIN = STAGES["train"]
PARTS = {
    "weights": "weights",
    "gradients": "gradients that wait while the next pack runs",
    "optimizer": "optimizer: two moments of each trained weight",
    "activations": "activations of the largest pack",
    "loss": "logits of one chunk, and gradients on their way",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", choices=[TRAIN.name], metavar=TRAIN.name, help="the stage to plan")
    parser.add_argument("--input", action="append", default=[], metavar="DATASET=PATH", help="as for run train; repeatable")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="PARAM=VALUE", help="override a parameter; repeatable")  # fmt: skip
    parser.add_argument("--profile", metavar="NAME|FILE", help="parameters from a profile")
    parser.add_argument("--methods", metavar="NAME,NAME|all", help="one line for each of these methods")
    parser.add_argument("--no-time", action="store_true", help="do not time steps on random weights")
    parser.add_argument("--json", action="store_true", help="as JSON")


def plan(options: argparse.Namespace) -> str:
    """Tokens, packs and steps, memory by part and time; reads the examples and no weight of the base."""
    settings = dict(_pair(text, "PARAM=VALUE") for text in options.set)
    inputs = _inputs(TRAIN, options.input)
    methods = _methods(options.methods)
    planner: Any = importlib.import_module(f"stages.{TRAIN.name}.plan")

    def plan_of(chosen: dict[str, Any]) -> dict[str, Any]:
        params = _params(options.profile, settings | chosen)
        told: dict[str, Any] = planner.facts(_with_inputs(planner, inputs, params, with_time=not options.no_time))
        return told

    made = [_or_why_not(plan_of, method) for method in methods] or [plan_of({})]
    if options.json:
        return json.dumps(made if methods else made[0], indent=2)
    return _table(made) if methods else text_of(made[0])


def _or_why_not(plan_of: Callable[[dict[str, Any]], dict[str, Any]], method: str) -> dict[str, Any]:
    """The plan of one method among several; or, where it would be refused here, what it would be refused with."""
    try:
        return plan_of({"method": method})
    except (ConfigError, DataError) as refusal:
        return {"method": method, "refused": str(refusal)}


def _with_inputs(planner: Any, inputs: Mapping[str, Path], params: Params, *, with_time: bool) -> Any:
    """The examples are opened as the run opens them; the base is not, as its digest would take reading all of it."""
    import tempfile

    from stages.execution.inputs import open_input
    from stages.schema import load_schema

    with tempfile.TemporaryDirectory() as imports:
        examples = open_input(load_schema("examples"), (inputs["examples"],), Path(imports) / "examples")
        return planner.make_plan({**inputs, "examples": examples.value}, params, with_time=with_time)


def _params(profile: str | None, settings: Mapping[str, Any]) -> Params:
    return resolve_params([TRAIN], load_profile(profile), {TRAIN.name: settings}, list(STAGES))[TRAIN.name]


def _inputs(stage: Stage, given: Sequence[str]) -> dict[str, Path]:
    paths: dict[str, list[Path]] = defaultdict(list)
    for text in given:
        name, equals, path = text.partition("=")
        if not equals:
            raise UsageError(f"--input {text} is not of the form DATASET=PATH")
        paths[name].append(Path(path))
    known = (*stage.inputs, *stage.optional_inputs)
    problems = [f"lacks --input {name}=<path>" for name in stage.inputs if name not in paths]
    problems += [f"has no input {name!r}" for name in paths if name not in known]
    problems += [f"has {len(found)} inputs {name}, and takes one" for name, found in paths.items() if len(found) > 1]
    problems += [
        f"{name}: {path} does not exist" for name, found in paths.items() for path in found if not path.exists()
    ]
    if problems:
        raise UsageError(f"plan {stage.name}: {', and '.join(problems)}; it reads {', '.join(known)}")
    return {name: found[0] for name, found in paths.items()}


def _methods(asked: str | None) -> list[str]:
    if asked is None:
        return []
    known = list(TRAIN.params.model_fields["method"].annotation.__args__)  # type: ignore[union-attr]
    names = known if asked == "all" else [name.strip() for name in asked.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--methods: no method {', '.join(unknown)}; the methods are {', '.join(known)}, or all")
    return names


def _pair(text: str, form: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{text!r} is not of the form {form}")
    return name.strip(), parse_value(value)


def text_of(told: Mapping[str, Any]) -> str:
    """The plan as a page of text."""
    memory, share = told["memory"], told["epoch_supervised"] / told["epoch_tokens"]
    trained = f", {memory['trained_weights']:,} of {memory['all_weights']:,} weights trained" if memory else ""
    lines = [
        f"train: {told['method']} of {told['model']}{trained}; {told['precision']} on {told['device']}",
        f"  data    {told['examples']:,} examples; an epoch has {told['epoch_tokens']:,} tokens, "
        f"{told['epoch_supervised']:,} of them supervised ({share:.0%})",
        f"  packs   {told['packs_per_epoch']:,} an epoch, {told['pack_fill']:.2%} full",
        f"  steps   {told['steps']:,} = {told['epochs']:.4g} epochs of {told['steps_per_epoch']:,}; "
        f"{told['tokens']:,} tokens, {told['supervised']:,} supervised",
    ]
    return "\n".join([*lines, *_memory_lines(told), _time_line(told)])


def _memory_lines(told: Mapping[str, Any]) -> list[str]:
    process = f"{_mib(told['process_bytes'])}  interpreter, libraries and examples, as measured in this process"
    if told["memory"] is None:
        return ["  memory  cannot be known beforehand: in this model, shapes depend on numbers", f"    {process}"]
    parts = [f"    {_mib(told['memory'][name])}  {text}" for name, text in PARTS.items() if told["memory"][name]]
    where = "" if told["device"] == "cpu" else f" of the {told['device']} device; the process itself:"
    rest = told["peak_bytes"] - sum(told["memory"][name] for name in PARTS)
    rest -= told["process_bytes"] if told["device"] == "cpu" else 0
    parts.append(f"    {_mib(rest)}  what math libraries and the allocator keep")
    ends = [f"    {process}"] if told["device"] == "cpu" else [f"  host    {process}"]
    return [f"  memory  {_mib(told['peak_bytes']).strip()} at the peak{where}", *parts, *ends]


def _time_line(told: Mapping[str, Any]) -> str:
    if told["seconds"] is None:
        return "  time    not measured"
    layers = told["pace"]["layers"]
    of = "the whole model" if layers is None else f"{layers} of its layers, scaled by arithmetic"
    rate = 1 / told["pace"]["seconds_per_token"]
    return (
        f"  time    {_clock(told['seconds'])} ({told['start_seconds']:.0f} s of it to start), as steps on random weights took "
        f"here just now: {rate:,.0f} tokens/s, of {of}"
    )


def _table(plans: Sequence[Mapping[str, Any]]) -> str:
    rows = [("method", "trained weights", "memory", "time", "steps")]
    for told in plans:
        if "refused" in told:
            rows.append((told["method"], "refused", "-", "-", "-"))
            continue
        trained = f"{told['memory']['trained_weights']:,}" if told["memory"] else "?"
        memory = _mib(told["peak_bytes"]).strip() if told["memory"] else "?"
        rows.append((told["method"], trained, memory, _clock(told["seconds"]), f"{told['steps']:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*lines, *(f"{told['method']}: {told['refused']}" for told in plans if "refused" in told)])


def _mib(size: int) -> str:
    return f"{size / 2**20:9,.0f} MiB"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
