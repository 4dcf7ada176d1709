"""Of very many layers the worst are shown."""

from auditor.core.foremost import foremost, how_many, reading_order


def test_the_worst_come_in_the_models_order() -> None:
    assert foremost([0.1, 5.0, float("nan"), 3.0, 0.2], most=3) == [1, 2, 3]


def test_a_caption_says_what_was_left_out() -> None:
    assert how_many(40, 1000) == " Shown are the 40 worst of 1,000 layers."
    assert how_many(3, 3) == ""


def test_a_long_table_begins_with_the_worst() -> None:
    assert reading_order([1.0, 5.0, 3.0]) == ([0, 1, 2], "")
    order, said = reading_order([float(place % 7 == 3) for place in range(50)])
    assert order[:8] == [3, 10, 17, 24, 31, 38, 45, 0]
    assert sorted(order) == list(range(50))
    assert said == " Worst first."
