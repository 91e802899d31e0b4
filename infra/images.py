"""The images of the stages: python -m infra.images prepare | build <stage> | compare <stage>."""

import argparse
import sys
from collections.abc import Sequence

from infra.container_compare import compare, table
from infra.container_engine import require_engine
from infra.image_build import build_image
from stages.errors import DataError, TemperError
from stages.pipeline import STAGES


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns an exit code of stages/errors.py, 65 when process and container differ."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except TemperError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.images", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="command")
    prepare = verbs.add_parser("prepare", help="install podman from Debian, as root, where there is no engine")
    prepare.set_defaults(command=lambda _: print(f"images are built with {require_engine().program}"))
    for name, command, told in (
        ("build", _build, "build the image in which a stage runs"),
        ("compare", _compare, "build it, and compare the stage in a process with the stage in its container"),
    ):
        verb = verbs.add_parser(name, help=told)
        verb.add_argument("stage", choices=sorted(STAGES), metavar="stage")
        verb.set_defaults(command=command)
    verb.add_argument("--set", action="append", default=[], metavar="PARAM=VALUE", help="a parameter; repeatable")
    return parser


def _build(options: argparse.Namespace) -> None:
    print(f"built {build_image(require_engine(), STAGES[options.stage])}")


def _compare(options: argparse.Namespace) -> None:
    engine, stage = require_engine(), STAGES[options.stage]
    build_image(engine, stage, quiet=True)
    compared = compare(engine, stage, options.set)
    print(table(compared))
    if different := [name for name, ours, theirs in compared if ours != theirs]:
        raise DataError(f"{stage.name} in its container differs from the plain process in {', '.join(different)}")


if __name__ == "__main__":
    sys.exit(main())
