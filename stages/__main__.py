"""python -m stages <command>: runs it, and says in words what went wrong."""

import logging
import sys
from collections.abc import Sequence

from stages.errors import told_to_user


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code of stages/errors.py."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        _do(arguments)
    except BrokenPipeError:
        return 0
    except (Exception, KeyboardInterrupt) as fault:
        error = told_to_user(fault)
        if error is None:
            raise
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def _do(arguments: Sequence[str] | None) -> None:
    # Imported here: Ctrl-C while libraries load is told in words too.
    from stages.command_line import build_parser
    from stages.processes import launched

    if launched.is_helper():
        launched.help_others()
        return
    options = build_parser().parse_args(arguments)
    text = options.command(options)
    launched.send_helpers_home()
    if text:
        print(text)  # noqa: T201 - the result of a command


if __name__ == "__main__":
    sys.exit(main())
