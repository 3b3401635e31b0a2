"""Which images a task validates on."""

from collections import Counter

from limner.core.tasks.task import ValidationPlan


def test_styles_take_turns_and_none_is_crowded_out() -> None:
    styles = [0] * 100 + [1] * 50 + [2] * 3
    chosen = ValidationPlan(("val",), 12, 4, stratified=True).choose(styles)
    assert [styles[number] for number in chosen[:6]] == [0, 1, 2, 0, 1, 2]
    assert len(set(chosen)) == 12
    assert Counter(styles[number] for number in chosen) == {0: 5, 1: 4, 2: 3}
    assert [number for number in chosen if number < 100] == [0, 25, 50, 75, 1], "from all over the style"


def test_a_style_with_few_images_leaves_its_places_to_the_others() -> None:
    plan = ValidationPlan(("val",), 64, 8, stratified=True)
    assert len(plan.choose([0] * 32 + [1] * 18 + [2] * 9 + [3] * 5)) == 64
    assert plan.choose([0] * 5) == [0, 1, 2, 3, 4]
    assert len(ValidationPlan(("val",), 2, 8, stratified=True).choose([0, 1, 2, 3])) == 2


def test_without_strata_images_come_from_the_whole_split_in_order() -> None:
    assert ValidationPlan(("train",), 4, 4).choose([0, 1] * 10) == [0, 5, 10, 15]
    assert ValidationPlan(("train",), 4, 4).choose([1, 0, 1]) == [0, 1, 2]
