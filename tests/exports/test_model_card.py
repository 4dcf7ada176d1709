"""Model cards: what the Hub's own library reads of them, and that nothing else changes."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from auditor.core.errors import InputError
from auditor.core.finding import Finding, Metric
from auditor.core.record import AuditRecord, read_record
from auditor.core.verdict import Verdict
from auditor.exports.card_file import card_of, carded, write_card
from auditor.exports.model_card import About, measured, result_of, section_of, task_of
from tests.subjects import ROOT

CARD = """---
license: mit  # ours
tags:
- vision

# a comment
library_name: "pytorch"
---
# Digits

Text with trailing blanks   \n\tand a tab.
"""
OTHERS = """---
model-index:
- name: digits
  results:
  - task: {type: image-classification}
    dataset: {type: mnist, name: MNIST}

    metrics:
    - {type: f1, value: 0.5}

license: mit
---
body
"""


@pytest.fixture(scope="module")
def record() -> AuditRecord:
    return read_record(ROOT / "tests/golden/record.json")


def results(text: str) -> dict[str, object]:
    """What the Hub's library reads out of a card, by type of metric."""
    data = ModelCard(text).data
    assert data.eval_results
    return {result.metric_type: result for result in data.eval_results}


def of(record: AuditRecord, *findings: Finding) -> AuditRecord:
    return replace(record, sections=(replace(record.sections[0], findings=findings),))


def test_the_hubs_library_reads_what_was_measured(record: AuditRecord) -> None:
    read = results(card_of(record, About()))
    assert {"accuracy", "cross_entropy"} <= set(read)
    accuracy = read["accuracy"]
    assert accuracy.metric_value == pytest.approx(0.102222, abs=1e-6)
    assert accuracy.task_type == "image-classification"
    assert accuracy.dataset_split == "validation"
    assert accuracy.verified is False
    assert "accuracy, training" not in read


def test_what_the_user_says_stands_in_the_card(record: AuditRecord) -> None:
    about = About("my/digits", "other-task", "digits", "https://example.org/report.html")
    card = ModelCard(card_of(record, about))
    assert card.data.model_name == "my/digits"
    (first, *_) = card.data.eval_results
    assert (first.task_type, first.dataset_type) == ("other-task", "digits")
    assert first.source_url == "https://example.org/report.html"


def test_nothing_is_claimed_that_was_not_measured(record: AuditRecord) -> None:
    for value in (None, math.nan, math.inf):
        odd = of(
            record,
            Finding(
                "overfitted",
                Verdict.PASS,
                "t",
                "s",
                (Metric("accuracy, validation", value), Metric("accuracy, training", 1.0)),
            ),
        )
        assert result_of(odd, About()) is None
        assert "model-index" not in card_of(odd, About())


def test_a_metric_stands_once_the_surest_first(record: AuditRecord) -> None:
    some = of(
        record,
        Finding("overfitted", Verdict.PASS, "t", "s", (Metric("accuracy, validation", 0.5),)),
        Finding(
            "no-better-than-baseline",
            Verdict.PASS,
            "t",
            "s",
            (Metric("accuracy of the model", 0.6),),
        ),
    )
    assert [(name, metric.value) for name, metric in measured(some)] == [("accuracy", 0.6)]


def test_a_claim_of_the_spec_comes_first_with_what_was_measured(record: AuditRecord) -> None:
    some = of(
        replace(record, spec={**record.spec, "claims": {"acc": 0.97}}),
        Finding("overfitted", Verdict.PASS, "t", "s", (Metric("accuracy, validation", 0.5),)),
        Finding(
            "claims-do-not-hold",
            Verdict.FAIL,
            "t",
            "s",
            (Metric("acc", 0.61), Metric("metrics.val_f1", 0.4)),
        ),
    )
    assert {name: one.metric_value for name, one in results(card_of(some, About())).items()} == {
        "accuracy": 0.61
    }


@pytest.mark.parametrize(
    ("task", "shape", "name"),
    [
        ("multiclass", "[64, 3, 32, 32] float32", "image-classification"),
        ("binary", "[64, 10] float32", "tabular-classification"),
        ("multiclass", "[64, 20] int64", "text-classification"),
        ("multiclass", "[64, 10, 12] float32", "other"),
        ("regression", "[64, 10] float32", "tabular-regression"),
        ("segmentation", "[4, 3, 32, 32] float32", "image-segmentation"),
        ("language_model", "[64, 20] int64", "text-generation"),
        (None, "", "other"),
    ],
)
def test_the_task_is_told_from_task_and_inputs(record, task, shape, name) -> None:
    split = replace(record.subject.data["val"], input_shapes=(shape,))
    subject = replace(record.subject, task=task, data={"val": split})
    assert task_of(replace(record, subject=subject)) == name


def test_a_card_keeps_all_else_byte_for_byte(record: AuditRecord, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(CARD.encode())
    write_card(path, record, About())
    text = path.read_text()
    header, body = CARD.split("\n---\n")
    assert text.startswith(header + "\nmodel-index:\n")
    assert f"\n---\n{body}\n<!-- audit:start -->\n" in text
    assert results(text)["accuracy"].task_type == "image-classification"
    assert ModelCard(text).data.license == "mit"
    before = path.read_bytes()
    write_card(path, record, About())
    assert path.read_bytes() == before


def test_an_earlier_audit_is_replaced_where_it_stands(record: AuditRecord) -> None:
    text = carded(CARD, record, About(), "card") + "\n## After\n"
    better = of(
        record,
        Finding("overfitted", Verdict.PASS, "t", "s", (Metric("accuracy, validation", 0.99),)),
    )
    again = carded(text, better, About(), "card")
    assert again.endswith("<!-- audit:end -->\n\n## After\n")
    assert results(again)["accuracy"].metric_value == 0.99
    assert len(results(again)) == 1


def test_results_of_others_are_kept(record: AuditRecord) -> None:
    text = carded(OTHERS, record, About(), "card")
    read = results(text)
    assert (read["f1"].metric_value, read["f1"].dataset_type) == (0.5, "mnist")
    assert "accuracy" in read
    assert ModelCard(text).data.model_name == "digits"
    assert text.endswith("\nlicense: mit\n---\nbody\n" + text[text.index("\n<!-- audit:start") :])


def test_line_ends_of_windows_are_kept(record: AuditRecord, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(CARD.replace("\n", "\r\n").encode())
    write_card(path, record, About())
    raw = path.read_bytes()
    assert raw.count(b"\r\n") == raw.count(b"\n") > 20
    assert results(raw.decode())


def test_a_card_is_made_where_there_is_none(record: AuditRecord, tmp_path: Path) -> None:
    write_card(tmp_path / "README.md", record, About())
    assert (tmp_path / "README.md").read_text() == card_of(record, About())


def test_a_card_without_header_gets_one(record: AuditRecord) -> None:
    text = carded("# Digits\n", record, About(), "card")
    assert text.startswith("---\nmodel-index:\n")
    short = carded("---\nlicense: mit\n---", record, About(), "card")
    assert "\n---\n<!-- audit:start -->" in short
    assert results(short)
    assert carded(short, record, About(), "card") == short
    assert "\n---\n\n# Digits\n\n<!-- audit:start -->" in text
    assert results(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("---\nlicense: mit\n", "has no end"),
        ("---\nlicense: [mit\n---\n", "no valid YAML"),
        ("---\n- mit\n---\n", "no mapping"),
        ("---\nmodel-index: 3\n---\n", "not as the Hub defines it"),
        ("---\nmodel-index:\n- name: a\n---\n", "not as the Hub defines it"),
        ('---\n"model-index": []\n---\n', "can't be told from the rest"),
        ("<!-- audit:start -->\n", "once each"),
        ("<!-- audit:end -->\n<!-- audit:start -->\n", "once each"),
        ("<!-- audit:start --><!-- audit:end -->" * 2, "once each"),
    ],
)
def test_a_card_that_can_not_be_changed_safely_stays(record, tmp_path, text, says) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        write_card(path, record, About())
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("raw", "says"),
    [(b"\xff\xfe", "not UTF-8"), (b"a\r\nb\n", "mixes line ends"), (b"a" * (1 << 23), "larger")],
)
def test_what_is_no_card_is_refused(record, tmp_path, raw, says) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=says):
        write_card(path, record, About())
    assert path.read_bytes() == raw


def test_the_section_tells_verdict_findings_and_checkpoint(record: AuditRecord) -> None:
    text = section_of(record)
    assert text.startswith("<!-- audit:start -->\n\n## Audit\n\nFailed on 1 January 2026")
    assert "- The model is no better than a baseline (failed)" in text
    assert record.subject.checkpoint.sha256 in text
    assert "| accuracy | 10.2 % | 7.58 to 13.4 % |" in text


def test_hostile_texts_stay_texts(record: AuditRecord) -> None:
    for name in (
        "<!-- audit:end -->",
        "---\nlicense: evil",
        "{{x}}",
        "\x1b[31m\u202e",
        "m" * 10**6,
    ):
        odd = of(
            replace(record, subject=replace(record.subject, name=name, factory=name)),
            Finding(name, Verdict.FAIL, name, name),
            Finding("overfitted", Verdict.PASS, "t", "s", (Metric(f"{name}, validation", 0.5),)),
        )
        text = card_of(odd, About())
        assert text.partition("\n## Audit\n")[2].count("<!-- audit:end -->") == 1
        assert carded(text, odd, About(), "card") == text
        assert "license" not in ModelCard(text).data.to_dict()
        assert "\x1b" not in text
        assert len(text) < 8000
