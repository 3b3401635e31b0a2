"""The two errors that Limner raises on purpose, and the one handler that its scripts share."""

import errno
import sys
from collections.abc import Callable
from typing import NoReturn


class LimnerError(Exception):
    """Something went wrong that one clear line explains. Exit code 1."""

    exit_code = 1


class UserError(LimnerError):
    """The user's input is wrong; the line says what was got, what is allowed and what to do. Exit code 2."""

    exit_code = 2


WRONG_PATH = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
"""System errors that a path the user gave can cause."""


def is_full_disk(error: OSError) -> bool:
    """Whether the system refused to write for want of space, quota or allowed file size."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_command(main: Callable[[], None]) -> NoReturn:
    """Run a script's `main` and exit: 0 done, 2 wrong input, 1 anything else, 130 interrupted.

    A LimnerError and a full disk become one line on stderr without a traceback; any other exception is a defect of ours
    and keeps its traceback.
    """
    try:
        main()
    except LimnerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if is_full_disk(error):
            place = error.filename or "the output"
            print(f"error: no space left for {place}: free some and run again", file=sys.stderr)
            sys.exit(1)
        if error.filename is None or error.errno not in WRONG_PATH:
            raise
        print(f"error: {error.filename}: {error.strerror}: give another path", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)
