"""What can go wrong, and the exit code that says so to a shell, a container or an orchestrator (sysexits.h)."""

import errno
import os
import re
from typing import ClassVar


class TemperError(Exception):
    """A failure that a user can act on; the text says what is wrong, where, how many or which, and what to do."""

    exit_code: ClassVar[int] = 70


class UsageError(TemperError):
    """The command was put together wrongly: an unknown stage, input or option."""

    exit_code = 64


class DataError(TemperError):
    """Data breaks a contract: a schema, a check, conservation of rows, or a stored digest."""

    exit_code = 65


class ServiceUnavailable(TemperError):
    """Something outside this process does not answer."""

    exit_code = 69


class TryAgain(TemperError):
    """A passing fault; the same command may succeed later."""

    exit_code = 75


class Interrupted(TemperError):
    """Somebody pressed Ctrl-C; the exit code is the shell's for SIGINT."""

    exit_code = 130


class ConfigError(TemperError):
    """A parameter or profile is wrong; nothing was run."""

    exit_code = 78


class GateNotPassed(TemperError):
    """The run did its work, and the result is not good enough to go on."""

    exit_code = 99


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)  # the last: a limit of the shell or the file system
OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as safetensors and Polars, written in Rust, end what the disk told them


def told_to_user(fault: BaseException) -> TemperError | None:
    """What a failed command says: its own error, or that of the disk in words; None for a fault of the program."""
    if isinstance(fault, TemperError):
        return fault
    meanwhile = "".join(f", {note}" for note in getattr(fault, "__notes__", ()))
    number = fault.errno if isinstance(fault, OSError) else None  # Polars raises one without a number
    if number is None and (found := OS_ERROR.search(str(fault))):
        fault = OSError(int(found[1]), os.strerror(int(found[1])))
    if isinstance(fault, KeyboardInterrupt):
        return Interrupted("interrupted before the end; run the same command again: what was finished is kept")
    if isinstance(fault, PermissionError | NotADirectoryError | IsADirectoryError):
        return UsageError(
            f"{fault.filename or 'the disk'}: {fault.strerror}; correct the path, or who may read and write there"
        )
    if isinstance(fault, OSError) and fault.errno in NO_ROOM:
        # Of a copy, the second name is the one that was written.
        mend = "let it be written to" if fault.errno == errno.EROFS else "make room there"
        where = fault.filename2 or fault.filename or f"the disk{meanwhile}"
        return TryAgain(f"{where}: {fault.strerror}; {mend} or choose another "
                        f"folder, and run the same command again: what was finished is kept")  # fmt: skip
    return None
