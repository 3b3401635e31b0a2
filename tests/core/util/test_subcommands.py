import pytest

from limner.core.util.errors import UserError
from limner.core.util.subcommands import pick

TABLE = {"copy": "make another one", "draw": "make one"}


def test_the_first_argument_is_the_command_and_the_rest_its_own() -> None:
    assert pick("limner do", "Does it.", TABLE, ["draw", "--count", "3"]) == ("draw", ["--count", "3"])
    assert pick("limner do", "Does it.", TABLE, ["copy", "--help"]) == ("copy", ["--help"])


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        pick("limner do", "Does it.", TABLE, ["--help"])
    assert not end.value.code
    shown = capsys.readouterr().out
    for words in ("usage: limner do {copy,draw}", "Does it.", "copy  make another one", "draw  make one"):
        assert words in shown


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "limner do needs one of copy, draw; see limner do --help"),
        (["cpoy"], "unknown command 'limner do cpoy': did you mean copy? (allowed: copy, draw)"),
        (["--count", "3"], "unknown command 'limner do --count' (allowed: copy, draw)"),
    ],
)
def test_none_or_another_is_one_line(given: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        pick("limner do", "Does it.", TABLE, given)
    assert str(caught.value) == message
