"""What a user sees of long work, in a log and on a terminal."""

import itertools
import os
import re
import subprocess
import sys
import time

import pytest

from limner.core.util.log import log, show_log
from limner.core.util.progress import ProgressDisplay, track


@pytest.fixture(autouse=True)
def shown() -> None:
    show_log()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is 2 s after the one before."""
    ticks = itertools.count(100.0, 2.0)
    monkeypatch.setattr("limner.core.util.progress.time.monotonic", lambda: next(ticks))


def test_the_things_come_through_in_order() -> None:
    assert list(track(iter("abc"), 3, "reading")) == ["a", "b", "c"]


@pytest.mark.usefixtures("clock")
def test_a_log_has_a_line_at_once_then_one_now_and_then_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    list(track(range(12), 12, "reading"))
    assert capsys.readouterr().out.splitlines() == [
        "reading: 0 of 12",
        "reading: 2 of 12, 20 s left",
        "reading: 7 of 12, 10 s left",
        "reading: 12 of 12, took 24 s",
    ]


@pytest.mark.usefixtures("clock")
def test_things_that_come_in_batches_are_shown_by_batches(capsys: pytest.CaptureFixture[str]) -> None:
    list(track(range(10), 10, "generating", batch_size=4))
    assert capsys.readouterr().out.splitlines() == [
        "generating: 0 of 10",
        "generating: 8 of 10, 1 s left",
        "generating: 10 of 10, took 6 s",
    ]


@pytest.mark.usefixtures("clock")
def test_work_that_resumes_is_timed_from_there_and_starts_over_after_a_rollback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressDisplay("images") as display:
        display.update(100, 200, "epoch 1", ["L1 0.2"])
        display.update(110, 200, "epoch 1", ["L1 0.1"])  # 2 s later: too soon for a line
        display.update(120, 200, "epoch 1", ["L1 0.1"])
        display.update(50, 200, "epoch 0")
        display.update(200, 200, "epoch 2")
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1: 100 of 200 images  L1 0.2",
        "epoch 1: 120 of 200 images, 16 s left  L1 0.1",
        "epoch 2: 200 of 200 images, took 2 s",
    ]


def test_nothing_is_shown_to_a_program_that_only_imports_limner(capsys: pytest.CaptureFixture[str]) -> None:
    log.handlers = []
    assert list(track(range(3), 3, "reading")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


SCRIPT = """
import time
from limner.core.util.log import log, show_log
from limner.core.util.progress import ProgressDisplay
show_log()
with ProgressDisplay("images") as display:
    for done in range(100, 1521, 71):
        display.update(done, 1520, f"epoch {done / 380:.1f}", ["L1 0.123", "D 0.456", "G 12.34", "images/s 123.4"])
        if done == 242:
            log.info("loader: DALI")
        time.sleep(0.02)
    display.update(1520, 1520, "epoch 4.0", ["L1 0.1"])
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_terminal_of_80_columns_always_shows_count_and_time_left() -> None:
    import pty

    terminal, end = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=end, stderr=end, env=environment) as process:
        os.close(end)
        seen = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                block = os.read(terminal, 4096)
            except OSError:  # Linux: the other end is closed
                break
            if not block:
                break
            seen += block
    os.close(terminal)
    assert process.returncode == 0, seen
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())
    lines = [line for line in re.split(r"[\r\n]+", text) if "/1520 images" in line]
    assert len(lines) >= 3
    assert all(len(line) <= 80 for line in lines)
    assert all(re.search(r"images, .* (left|took)?", line) for line in lines if not line.rstrip().endswith("0.123"))
    assert any("s left" in line and "L1 0.123" in line for line in lines)
    assert "1520/1520 images, took" in lines[-1]
    assert "loader: DALI" in text
