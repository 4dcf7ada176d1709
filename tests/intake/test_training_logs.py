"""Logs of training are read by their content, whatever their names, and however odd they are."""

import json
import math
import struct
from pathlib import Path

import pytest

from auditor.core.request import Unavailable
from auditor.intake.training_logs import read as reading
from auditor.intake.training_logs import shape, table
from auditor.intake.training_logs.read import read_log, read_text
from auditor.intake.training_logs.shape import log_of_table
from auditor.intake.training_logs.table import UnreadableLogError
from auditor.observations.training_log import TrainingLog


def log_of(text: str | bytes) -> TrainingLog:
    return log_of_table(read_text(text.encode() if isinstance(text, str) else text), "log")


def values(log: TrainingLog, name: str) -> list[float]:
    series = log.named(name)
    assert series is not None, [one.name for one in log.series]
    return series.values.tolist()


def places(log: TrainingLog, name: str) -> list[float]:
    series = log.named(name)
    assert series is not None
    return series.x.tolist()


KERAS = "epoch,loss,val_loss,accuracy,val_accuracy\n0,2.0,2.5,0.1,0.2\n1,1.0,1.5,0.3,0.4\n"


@pytest.mark.parametrize(
    "text",
    [
        KERAS,
        "\ufeff" + KERAS,
        KERAS.replace("\n", "\r\n"),
        KERAS.replace(",", ";"),
        KERAS.replace(",", ";").replace(".", ","),
        KERAS.replace(",", "\t"),
        KERAS.replace(",", " "),
        KERAS.replace(",", " | ").replace("epoch", "epoch"),
        "# written by a script\n" + KERAS,
        KERAS + "epoch,loss,val_loss,accuracy,val_accuracy\n",
        KERAS.encode("utf-16"),
    ],
)
def test_tables_of_every_kind(text: str | bytes) -> None:
    log = log_of(text)
    assert log.unit == "epochs"
    assert values(log, "train_loss") == [2.0, 1.0]
    assert values(log, "val_loss") == [2.5, 1.5]
    assert values(log, "train_accuracy") == [0.1, 0.3]
    assert values(log, "val_accuracy") == [0.2, 0.4]


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("training_loss", "train_loss"),
        ("Loss/train", "train_loss"),
        ("train/loss_epoch", "train_loss"),
        ("loss", "train_loss"),
        ("eval_loss", "val_loss"),
        ("eval/loss", "val_loss"),
        ("Loss/val", "val_loss"),
        ("validation_loss", "val_loss"),
        ("valid.loss", "val_loss"),
        ("test_loss", "val_loss"),
        ("my-run-3 - train/loss", "train_loss"),
        ("train_ce_loss", "train_loss"),
        ("lr-AdamW", "lr"),
        ("lr-SGD/pg1", "lr"),
        ("learning_rate", "lr"),
        ("train/learning_rate", "lr"),
        ("lr/pg0", "lr"),
        ("grad_norm", "grad_norm"),
        ("train/grad_norm", "grad_norm"),
        ("grad_2.0_norm_total", "grad_norm"),
        ("gnorm", "grad_norm"),
        ("val_f1", "val_f1"),
        ("eval_accuracy", "val_accuracy"),
    ],
)
def test_names_of_columns(column: str, name: str) -> None:
    log = log_of(f"step,{column}\n1,2.0\n2,1.0\n")
    assert [one.name for one in log.series] == [name]
    assert log.series[0].column == column


@pytest.mark.parametrize(
    "column",
    ["train_runtime", "eval_samples_per_second", "loss_scale", "time", "_timestamp", "run_id",
     "my-run - train/loss__MIN"],
)  # fmt: skip
def test_columns_that_tell_nothing(column: str) -> None:
    assert log_of(f"step,{column}\n1,2.0\n2,1.0\n").series == ()


def test_terms_of_a_loss_are_no_loss() -> None:
    log = log_of("epoch,train/box_loss,train/cls_loss\n0,1,2\n1,1,2\n")
    assert log.named("train_loss") is None
    assert any("train/box_loss" in note for note in log.notes)
    whole = log_of("epoch,train/cls_loss,train/loss\n0,1,3\n1,1,2\n")
    assert values(whole, "train_loss") == [3, 2]


LIGHTNING = """epoch,lr-Adam,step,train_loss_epoch,train_loss_step,val_loss
,0.01,0,,,
0,,0,,2.0,
0,,1,,1.8,
0,,1,,,1.9
0,,1,1.9,,
,0.005,2,,,
1,,2,,1.6,
1,,3,,1.4,
1,,3,,,1.5
1,,3,1.5,,
"""


def test_rows_of_training_and_validation_in_one_table() -> None:
    log = log_of(LIGHTNING)
    assert log.unit == "steps"
    assert (places(log, "train_loss"), values(log, "train_loss")) == (
        [0, 1, 2, 3],
        [2, 1.8, 1.6, 1.4],
    )
    assert (places(log, "val_loss"), values(log, "val_loss")) == ([1, 3], [1.9, 1.5])
    assert values(log, "lr") == [0.01, 0.005]
    assert log.at(3.0) == "step 3 (epoch 1)"


def test_empty_cells_written_as_nan_are_empty() -> None:
    log = log_of(LIGHTNING.replace(",,,", ",nan,nan,").replace(",,", ",nan,"))
    assert values(log, "train_loss") == [2, 1.8, 1.6, 1.4]


def test_a_table_in_blocks_written_with_nan_is_told_apart() -> None:
    train = "".join(f"{i},{3 - i / 10},nan\n" for i in range(10))
    val = "".join(f"{i},nan,{4 - i / 10}\n" for i in range(10))
    log = log_of("epoch,train_loss,val_loss\n" + train + val)
    assert len(values(log, "train_loss")) == len(values(log, "val_loss")) == 10
    assert all(map(math.isfinite, values(log, "train_loss")))


@pytest.mark.parametrize(
    "rows",
    [
        "0,nan,2.4,\n1,2.0,1.9,\n2,1.5,1.4,\n",
        "1,2.0,nan,\n2,1.5,1.4,\n",
        "1,2.0,1.9,\n2,1.5,1.4,\n2,nan,nan,1.6\n",
        "1,2.0,1.9,\n2,1.5,1.4,\n3,nan,1.4,\n",
    ],
    ids=["evaluated first", "validated later", "tested at the end", "evaluated at the end"],
)
def test_an_evaluation_before_or_after_training_has_blanks_that_are_no_nan(rows: str) -> None:
    log = log_of("epoch,loss,val_loss,test_loss\n" + rows)
    assert values(log, "train_loss") == [2.0, 1.5]
    assert all(map(math.isfinite, values(log, "val_loss")))


@pytest.mark.parametrize("column", ["loss_G", "generator_loss", "policy_loss", "kl_loss"])
def test_a_loss_that_need_not_fall_is_not_that_of_training(column: str) -> None:
    assert log_of(f"step,{column},lr\n1,1.0,1\n2,2.0,1\n").named("train_loss") is None


def test_a_loss_that_became_nan_or_infinite_stays_so() -> None:
    log = log_of("step,loss\n1,2.0\n2,inf\n3,NaN\n4,1e300\n")
    assert str(values(log, "train_loss")) == "[2.0, inf, nan, inf]"


def test_what_a_resumed_run_tells_anew_counts() -> None:
    log = log_of("step,loss\n10,5\n20,4\n30,3\n20,9\n30,8\n40,7\n")
    assert (places(log, "train_loss"), values(log, "train_loss")) == (
        [10, 20, 30, 40],
        [5, 9, 8, 7],
    )
    assert any("resumed" in note for note in log.notes)
    anew = log_of("step,loss\n10,5\n20,4\n10,3\n")
    assert values(anew, "train_loss") == [3]


def test_steps_that_begin_again_with_each_epoch() -> None:
    log = log_of("epoch,step,loss\n0,0,5\n0,50,4\n1,0,3\n1,50,2\n2,0,1\n")
    assert places(log, "train_loss") == [0, 50, 100, 150, 200]
    assert values(log, "train_loss") == [5, 4, 3, 2, 1]
    same = log_of("epoch,step,loss\n0,100,5\n1,100,4\n2,100,3\n")
    assert values(same, "train_loss") == [5, 4, 3]


def test_several_rows_of_an_epoch_are_spread_over_it() -> None:
    log = log_of("epoch,loss\n0,5\n0,4\n1,3\n1,2\n")
    assert places(log, "train_loss") == [0, 0.5, 1, 1.5]


def test_without_step_or_epoch_rows_are_counted() -> None:
    log = log_of("loss\n5\n4\n3\n")
    assert (log.unit, places(log, "train_loss")) == ("rows", [1, 2, 3])


def test_ragged_rows() -> None:
    log = log_of("step,loss,lr\n1,5\n2,4,0.1,9,9\n3\n4,2,0.1\n")
    assert values(log, "train_loss") == [5, 4, 2]
    assert values(log, "lr") == [0.1, 0.1]
    assert any("3 rows of another length" in note for note in log.notes)


TRAINER = {
    "global_step": 20,
    "log_history": [
        {"epoch": 0.5, "step": 10, "loss": 2.0, "learning_rate": 1e-4, "grad_norm": 1.0},
        {"epoch": 0.5, "step": 10, "eval_loss": 2.1, "eval_accuracy": 0.3, "eval_runtime": 3.0},
        {"epoch": 1.0, "step": 20, "loss": 1.0, "learning_rate": 0.0, "grad_norm": 0.5},
        {"epoch": 1.0, "step": 20, "train_loss": 1.5, "train_runtime": 9.0, "total_flos": 1e15},
    ],
}


def test_a_trainers_state() -> None:
    log = log_of(json.dumps(TRAINER))
    assert "Hugging Face" in log.format
    assert values(log, "train_loss") == [2, 1], "the mean over the run is none of its readings"
    assert values(log, "lr") == [1e-4, 0]
    assert values(log, "grad_norm") == [1, 0.5]
    assert values(log, "val_loss") == [2.1]
    assert {one.name for one in log.series} >= {"val_accuracy"}


def test_json_lines_and_the_last_line_of_a_run_that_was_killed() -> None:
    rows = '{"step": 1, "train_loss": 2.0}\n{"step": 2, "train_loss": "NaN"}\n{"step": 3, "tr'
    log = log_of(rows)
    assert str(values(log, "train_loss")) == "[2.0, nan]"
    assert any("1 line" in note for note in log.notes)


def test_the_recorders_file() -> None:
    header = {"auditor_recorder": 1, "settings": {"lr": 0.1}, "data": {"train": {"loss": 7}}}
    rows = [{"step": i, "epoch": i / 2, "train_loss": 3.0 - i, "val_loss": "Infinity",
             "update_ratio": {"fc": 1e-3}} for i in range(3)]  # fmt: skip
    log = log_of("\n".join(json.dumps(row) for row in [header, *rows]))
    assert "Recorder" in log.format
    assert values(log, "train_loss") == [3, 2, 1]
    assert values(log, "val_loss") == [math.inf] * 3
    with pytest.raises(UnreadableLogError, match="no row after its header"):
        read_text(json.dumps(header).encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"loss": [2, 1], "val_loss": [3, null]}',
        '{"history": {"loss": [2, 1], "val_loss": [3]}}',
        '[{"epoch": 1, "loss": 2, "val_loss": 3}, {"epoch": 2, "loss": 1}]',
        '{"epoch": 1, "train": {"loss": 2}, "val": {"loss": 3}}\n'
        '{"epoch": 2, "train": {"loss": 1}}',
        '{"mode": "train", "epoch": 1, "loss": 2}\n{"mode": "val", "epoch": 1, "loss": 3}\n'
        '{"mode": "train", "epoch": 2, "loss": 1}',
    ],
)
def test_histories_in_json(text: str) -> None:
    log = log_of(text)
    assert log.unit == "epochs"
    assert (places(log, "train_loss"), values(log, "train_loss")) == ([1, 2], [2, 1])
    assert values(log, "val_loss") == [3]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"   \n\n",
        b"\x00\x01\x02" * 50,
        b"[" * 100_000,
        b'{"a": ' * 50_000,
        b"{]",
        b'{"a": 1',
        b'"a text"',
        b"[1, 2, 3]",
        b"{}",
        b"loss,step\n",
        b"1,2,3\n4,5,6\n",
        b"A note of mine.\nNothing else.\n",
        b'step,loss\n"' + b"x" * 200_000,
    ],
)
def test_what_is_no_log_is_said_in_one_sentence(text: bytes) -> None:
    with pytest.raises(UnreadableLogError) as raised:
        read_text(text)
    assert len(str(raised.value)) < 200
    assert str(raised.value)[0].islower()


@pytest.mark.parametrize(
    "text",
    [
        "step,loss\n" + "1," + "9" * 5000 + "\n2,1\n",
        "step,loss\nnan,1\ninf,2\n-1e308,3\n1,4\n2,5\n",
        "step,loss\n1,1e999\n2,-1e999\n3,0x10\n4,1_000\n5,7\n",
        "step,\u202eloss,loss\n1,2,3\n2,3,4\n",
        "step,step,loss\n1,1,2\n2,2,1\n",
        '{"step": 1, "loss": ' + "9" * 400 + '}\n{"step": 2, "loss": 1}',
        '{"step": {"a": {"b": {"c": {"d": 1}}}}, "loss": 1}\n{"loss": 2}',
        '{"step": true, "loss": [1]}\n{"step": 1, "loss": [2]}',
    ],
)
def test_hostile_values_break_nothing(text: str) -> None:
    log = log_of(text)
    for one in log.series:
        assert one.x.tolist() == sorted(one.x.tolist())
        assert all(math.isfinite(x) for x in one.x)
        assert "\u202e" not in one.column


def test_rows_columns_and_points_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_ROWS", 50)
    monkeypatch.setattr(table, "MOST_COLUMNS", 20)
    monkeypatch.setattr(shape, "MOST_POINTS", 10)
    wide = "step,loss," + ",".join(f"val_m{i}" for i in range(100))
    text = "\n".join([wide, *(f"{i}," + ",".join("1" * 101) for i in range(100))])
    log = log_of(text)
    assert places(log, "train_loss")[-1] == 49
    assert len(log.series) <= shape.MOST_SERIES
    assert all(len(one.x) == 10 for one in log.series)
    assert sum("Only the first" in note for note in log.notes) == 2
    assert any("10 values are kept" in note for note in log.notes)


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log.csv").write_text(KERAS)
    monkeypatch.setattr(reading, "LARGEST", 5)
    with pytest.raises(UnreadableLogError, match="too large"):
        read_log(tmp_path / "log.csv", "log.csv")
    with pytest.raises(UnreadableLogError, match="no regular file"):
        read_log(tmp_path, "folder")


@pytest.mark.parametrize("length", [0, 24, 2**40, 2**63])
def test_a_damaged_event_file(tmp_path: Path, length: int) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(
        struct.pack("<Q", length) + b"\x00" * 4 + b"\x1a\rbrain.Event:2" + b"\xff" * 90
    )
    with pytest.raises(UnreadableLogError):
        read_log(path, path.name)


def test_events_without_tensorboard_are_told_how_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(struct.pack("<Q", 24) + b"\x00" * 4 + b"\x1a\rbrain.Event:2" + b"\x00" * 20)

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("auditor.intake.training_logs.events.import_module", absent)
    with pytest.raises(UnreadableLogError, match=r"pip install 'auditor\[tensorboard\]'"):
        read_log(path, path.name)


def test_the_log_goes_through_a_journal() -> None:
    from pydantic import TypeAdapter

    adapter: TypeAdapter[TrainingLog] = TypeAdapter(TrainingLog)
    log = log_of("step,loss\n1,2\n2,nan\n")
    again = adapter.validate_json(adapter.dump_json(log))
    assert str(values(again, "train_loss")) == "[2.0, nan]"
    assert math.isnan(again.saved_at)
    assert not isinstance(again, Unavailable)
