from typing import Any

import numpy as np
import pytest
import torch

from auditor.core.record import AuditRecord
from auditor.core.scores import ExampleScores
from auditor.observations.example_scores import paired, scores_of
from auditor.observations.performance import Performance
from auditor.observations.score_change import by_class, fallen, mean_with_interval, of_scores
from auditor.recording import Record
from tests.awkward import BY_NAME, vectors
from tests.subjects import Live


def scores(
    values: Any, examples: Any = None, losses: Any = (), metric: str = "accuracy", **more: Any
) -> ExampleScores:
    values = np.asarray(values, np.float32)
    return ExampleScores(
        metric,
        metric == "accuracy",
        np.arange(len(values), dtype=np.uint64) if examples is None else np.asarray(examples, "u8"),
        values,
        np.asarray(losses, np.float32),
        **more,
    )


def test_examples_are_found_again_in_any_order() -> None:
    found = paired(scores([1, 0, 1], [7, 9, 4]), scores([0, 1, 1], [4, 5, 7]))
    assert found.before.tolist() == [2, 0]
    assert found.after.tolist() == [0, 2]


def test_copies_are_paired_off_one_by_one() -> None:
    found = paired(scores([1, 1, 0, 1], [7, 7, 7, 2]), scores([1, 1, 1], [7, 2, 7]))
    assert found.before.tolist() == [0, 3, 1]
    assert found.after.tolist() == [0, 1, 2]


def change(before: ExampleScores, after: ExampleScores, pair: bool = True) -> Any:
    pairs = paired(before, after) if pair else None
    return of_scores(before, after, pairs, np.random.default_rng(0))


def test_pairs_show_what_two_means_do_not() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(400) < 0.8
    after = before.copy()
    after[np.flatnonzero(before)[:14]] = False
    (together,) = change(scores(before), scores(after))
    (apart,) = change(scores(before), scores(after), pair=False)
    assert together.worse == pytest.approx(14 / 400)
    assert together.least > 0.01
    assert apart.least < 0 < apart.worse
    assert apart.visible > 3 * together.visible


def test_a_few_examples_that_differ_are_chance() -> None:
    before, after = np.ones(200), np.ones(200)
    after[:5] = 0
    (found,) = change(scores(before), scores(after))
    assert found.least <= 0
    after[:12] = 0
    (found,) = change(scores(before), scores(after))
    assert found.least > 0


def test_the_rise_of_an_error_is_a_share_of_it() -> None:
    rng = np.random.default_rng(0)
    before = rng.gamma(1.0, 1.0, 300)
    (found,) = change(scores(before, metric="squared error"), scores(1.2 * before, metric="x"))
    assert found.worse == pytest.approx(0.2, abs=1e-3)
    assert found.low == pytest.approx(found.high, abs=1e-3)
    assert found.relative


def test_a_sure_change_is_rare_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        difficulty = rng.beta(2, 0.3, 300)
        one, other = (rng.random(300) < difficulty for _ in range(2))
        losses = [rng.gamma(1.0, 1.0, 300) for _ in range(2)]
        alarms += any(
            found.least > 0
            for found in change(scores(one, losses=losses[0]), scores(other, losses=losses[1]))
        )
    assert alarms <= 5


@pytest.mark.parametrize(
    ("before", "after", "worse", "least"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, np.inf, -np.inf),
        (1.0, np.inf, np.inf, np.inf),
        (np.inf, 1.0, -np.inf, -np.inf),
        (np.inf, np.inf, 0.0, 0.0),
    ],
)
def test_errors_without_bound(before: float, after: float, worse: float, least: float) -> None:
    sides = [scores(np.full(40, value), metric="squared error") for value in (before, after)]
    (found,) = change(*sides)
    assert (found.worse, found.least) == (worse, least)


def test_rounding_is_no_change() -> None:
    before = np.random.default_rng(0).gamma(1.0, 1.0, 100)
    (found,) = change(
        scores(before, metric="squared error"), scores(before * (1 + 1e-6), metric="squared error")
    )
    assert found.worse == found.visible == 0


def test_what_got_worst_is_named_first() -> None:
    before = scores([1, 1, 1, 0, 1], losses=[0.1, 0.1, 0.1, 2, 0.1])
    after = scores([0, 1, 0, 1, 1], losses=[1.0, 5.0, 3.0, 0.1, 0.1])
    found = fallen(before, after, paired(before, after), 10)
    assert [one.number for one in found] == [2, 0]
    assert (found[0].loss_before, found[0].loss_after) == (pytest.approx(0.1), pytest.approx(3.0))


def test_classes_worst_first() -> None:
    classes = np.repeat([3, 8], 20).astype(np.int32)
    after = np.ones(40)
    after[25:] = 0
    one, other = scores(np.ones(40)), scores(after, classes=classes)
    found = by_class(one, other, paired(one, other))
    assert [(c.label, c.examples, c.change) for c in found] == [(8, 20, -0.75), (3, 20, 0.0)]
    assert found[0].high < 0
    assert by_class(one, scores(after), paired(one, other)) == ()


def test_means_of_right_and_wrong_have_their_exact_interval() -> None:
    mean, low, high = mean_with_interval(np.ones(20))
    assert mean == high == 1
    assert low == pytest.approx(0.8316, abs=1e-4)


def performance(**changes: Any) -> Performance:
    seen: dict[str, Any] = {
        "metric": "accuracy",
        "scores": np.array([1.0, np.nan, 0.0]),
        "entropies": np.array([0.1, np.nan, 2.0]),
        "losses": np.array([0.7]),
        "batch_examples": np.array([3]),
        "target_example": np.arange(3),
        "target_class": np.array([4, 5, 6]),
        "target_count": np.ones(3, int),
        "target_values": np.zeros((0, 0)),
        "split": "val",
        "hashes": np.array([1, 2, 3], np.uint64),
    }
    return Performance(**{**seen, **changes})


def test_what_a_record_keeps() -> None:
    found = scores_of(performance())
    assert found is not None
    assert found.scores.tolist() == [1, 0, 0]
    assert found.losses[1] == np.inf
    assert found.classes.tolist() == [4, 5, 6]
    assert (found.scores.dtype, found.classes.dtype) == (np.float32, np.int32)
    assert scores_of(performance(hashes=np.zeros(0, np.uint64))) is None
    error = scores_of(performance(metric="squared error"))
    assert error is not None
    assert not error.higher_is_better
    assert error.scores[1] == np.inf
    assert not error.losses.size


def test_several_targets_an_example_are_of_no_class() -> None:
    found = scores_of(performance(target_count=np.array([1, 2, 1])))
    assert found is not None
    assert not found.classes.size


def live(name: str, val: Any = None) -> Live:
    case = BY_NAME[name]
    return Live(case.model(), None, None, val or case.batches(), case.loss, None)


def recorded(name: str, val: Any = None) -> Record:
    return live(name, val).audited("worse-than-before")


def test_a_record_keeps_the_scores_of_all_examples() -> None:
    kept = recorded("mlp").scores
    assert kept is not None
    inputs = torch.cat([x for x, _ in vectors()])
    assert len(kept.scores) == len(set(kept.examples.tolist())) == len(inputs)


def test_scores_do_not_depend_on_the_order_of_examples() -> None:
    x, y = (torch.cat(part) for part in zip(*vectors(), strict=True))
    order = torch.randperm(len(x))
    one = recorded("mlp").scores
    other = recorded("mlp", [(x[order], y[order])]).scores
    assert one is not None
    assert other is not None
    table = [dict(zip(s.examples.tolist(), s.losses.tolist(), strict=True)) for s in (one, other)]
    assert table[0].keys() == table[1].keys()
    for key, loss in table[0].items():
        assert table[1][key] == pytest.approx(loss, rel=1e-4)


def test_equal_scores_are_equal_and_survive_a_file() -> None:
    from auditor.core.record import record_from_json, record_to_json

    record: AuditRecord = recorded("mlp")
    back = record_from_json(record_to_json(record).encode())
    assert back.scores == record.scores
    assert back.subject == record.subject
    assert back.scores != scores([1])


def test_examples_of_a_loader_that_yields_others_each_time_are_not_known() -> None:
    class Restless:
        """Draws from what nobody seeds."""

        def __init__(self) -> None:
            self.generator = np.random.default_rng(0)

        def __iter__(self) -> Any:
            x = torch.as_tensor(self.generator.standard_normal((40, 8)), dtype=torch.float32)
            yield x, torch.zeros(40, dtype=torch.long)

    assert recorded("mlp", Restless()).scores is None


def test_examples_without_a_target_that_counts_are_left_out() -> None:
    x, y = (torch.cat(part) for part in zip(*vectors(), strict=True))
    whole = recorded("mlp", [(x, y)]).scores
    y = y.clone()
    y[[2, 5]] = -100
    part = recorded("mlp", [(x, y)]).scores
    assert whole is not None
    assert part is not None
    kept = np.delete(np.arange(len(y)), [2, 5])
    np.testing.assert_array_equal(part.examples, whole.examples[kept])
    np.testing.assert_allclose(part.losses, whole.losses[kept], rtol=1e-4)
