"""A recording costs little; the bar itself is for a quiet machine (`make benchmark-recorder`).

Here twice as much is borne, which still shows a recorder that became slow.
"""

import pytest

from benchmarks.recorder import __main__ as benchmark

MARGIN = 2


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("case", benchmark.CASES[:3], ids=lambda case: case.name)
def test_a_recorded_training_takes_hardly_longer(case):
    found = benchmark.cost(case, case.turns)
    print(found)
    assert found.overhead <= MARGIN * benchmark.BAR


def test_one_that_is_slow_is_told(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "CASES", benchmark.CASES[:1])
    monkeypatch.setattr(benchmark, "cost", lambda case, turns: benchmark.Cost(0.001, 0.04, 0.05))
    assert benchmark.main([]) == 1
    table = capsys.readouterr().out
    assert "MLP on digits          1.00 ms      4.0%     3%         50 ms  too slow" in table
