"""What Limner tells its user goes to one logger; a command shows it, a program that imports Limner decides for itself.

from limner.core.util.log import log
log.info("engine: %s", out)         # a line on stdout, as it is
log.warning("no GPU: ...")          # a line on stderr, "warning: " in front
"""

import logging
import sys
from typing import Literal, TextIO

log = logging.getLogger("limner")

Stream = Literal["stdout", "stderr"]


class ConsoleHandler(logging.Handler):
    """Writes lines to the process's console: warnings to stderr, the rest to `info`."""

    def __init__(self, info: Stream) -> None:
        super().__init__()
        self.info = info

    def stream(self, level: int = logging.INFO) -> TextIO:
        """Where lines of a level go; looked up each time, since a progress bar and tests put others in their place."""
        stream: TextIO = getattr(sys, "stderr" if level >= logging.WARNING else self.info)
        return stream

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line at once."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        print(f"{level}{self.format(record)}", file=self.stream(record.levelno), flush=True)


def show_log(info: Stream = "stdout") -> None:
    """Show what Limner tells on this process's console, in place of an earlier choice.

    info: "stderr" for a command whose stdout is data, such as JSON.
    """
    log.handlers = [handler for handler in log.handlers if not isinstance(handler, ConsoleHandler)]
    log.addHandler(ConsoleHandler(info))
    log.propagate = False  # a library that configures the root logger would show every line again
    log.setLevel(logging.INFO)


def shown_on() -> TextIO | None:
    """The stream that information goes to; None where `show_log` was not called."""
    return next((handler.stream() for handler in log.handlers if isinstance(handler, ConsoleHandler)), None)
