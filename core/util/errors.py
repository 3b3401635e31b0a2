"""The two errors that Limner raises on purpose, and the one handler that its commands share."""

import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from limner.core.util.log import show_log


class LimnerError(Exception):
    """Something went wrong that one clear line explains. Exit code 1."""

    exit_code = 1


class UserError(LimnerError):
    """The user's input is wrong; the line says what was got, what is allowed and what to do. Exit code 2."""

    exit_code = 2


WRONG_PATH = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
"""System errors that a path the user gave can cause."""

EXTRAS = {
    "ray": "train",
    "pyarrow": "train",
    "tensorboard": "train",
    "skimage": "engines",  # train has it too, but lacks others first
    "onnx": "engines",
    "onnxscript": "engines",
    "onnxruntime": "engines",
    "openvino": "engines",
    "matplotlib": "bench",
}
"""Packages that a base installation lacks, and the extra of pyproject.toml that brings each."""


def is_full_disk(error: OSError) -> bool:
    """Whether the system refused to write for want of space, quota or allowed file size."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_command(main: Callable[[], None]) -> NoReturn:
    """Run a command's `main` and exit: 0 done, 2 wrong input, 1 anything else, 130 interrupted.

    A LimnerError, a full disk and a missing package that an extra brings (code 2) become one line on stderr without a
    traceback; a reader that closes the pipe ends the command quietly; any other exception is a defect of ours and
    keeps its traceback.
    """
    show_log()
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except LimnerError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        _fail(f"this needs {package}, which is not installed: pip install 'limner[{EXTRAS[package]}]'", 2)
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at exit
        sys.exit(1)
    except OSError as error:
        if is_full_disk(error):
            _fail(f"no space left for {error.filename or 'the output'}: free some and run again", 1)
        if error.filename is None or error.errno not in WRONG_PATH:
            raise
        _fail(f"{error.filename}: {error.strerror}: give another path", 2)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def _stdout_is_closed() -> bool:
    """Whether it was standard output whose reader has gone, and not another pipe: only writing shows that."""
    try:
        print(flush=True)
    except BrokenPipeError:
        return True
    return False
