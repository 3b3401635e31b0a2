import logging

import pytest

from limner.core.util.log import log, show_log, shown_on


@pytest.fixture(autouse=True)
def as_imported() -> None:
    """The logger without handlers, as a program that imports Limner finds it."""
    log.handlers = []


def test_information_is_on_stdout_as_it_is_and_warnings_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    show_log()
    show_log()  # no line twice
    log.info("100 % done")
    log.warning("no GPU")
    assert capsys.readouterr() == ("100 % done\n", "warning: no GPU\n")


def test_a_command_whose_stdout_is_data_tells_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    show_log("stderr")
    log.info("reading")
    assert capsys.readouterr() == ("", "reading\n")


def test_a_program_that_imports_limner_sees_nothing_unless_it_asks(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown_on() is None
    logging.getLogger("limner").info("reading")
    assert capsys.readouterr() == ("", "")
