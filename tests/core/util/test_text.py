import pytest

from limner.core.util.text import count_of, did_you_mean, duration, two_columns


def test_only_one_thing_is_singular() -> None:
    assert [count_of(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 s"), (99.0, "99 s"), (100.0, "2 min"), (3599.0, "1 h 0 min"), (7500.0, "2 h 5 min")],
)
def test_duration(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_did_you_mean_names_the_nearest_or_nothing() -> None:
    assert did_you_mean("--epoch", ["--epochs", "--data"]) == ": did you mean --epochs?"
    assert did_you_mean("--qqq", ["--epochs", "--data"]) == ""


def test_two_columns_keep_to_the_width_and_long_names_have_their_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = two_columns([("a", "word " * 12), ("b" * 60, "what it is"), ("c", "")]).splitlines()
    assert lines[0].startswith("  a  ")
    assert all(len(line) <= 52 for line in lines if "bbb" not in line)
    place = lines.index("  " + "b" * 60)
    assert lines[place + 1].strip() == "what it is"
    assert lines[-1] == "  c"
