from limner.core.util.text import count_of


def test_only_one_thing_is_singular() -> None:
    assert [count_of(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
