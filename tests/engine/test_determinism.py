import dataclasses
from typing import Any

import pytest
import torch

from auditor import audit
from auditor.api import Record
from auditor.checks import catalogue
from auditor.core.record import record_to_json
from tests.awkward import BY_NAME
from tests.subjects import once

pytestmark = pytest.mark.usefixtures("frugal")

NAMES = ("lstm", "train-only", "remembers")


def audited(name: str, **options: Any) -> Record:
    case = BY_NAME[name]
    return audit(
        case.model(), train=case.batches(), val=case.batches(), loss=case.loss, task=case.task,
        factory=case.build, optimizer={"name": "SGD", "lr": 0.1, "momentum": 0.9},
        **{"profile": "quick", **options},
    )  # fmt: skip


def audited_once(name: str) -> Record:
    return once(f"determinism {name}", lambda: audited(name))


def blanked(record: Record) -> str:
    volatile = dataclasses.replace(
        record.volatile, started="", seconds=0.0, host="", process=0, spent={}
    )
    return record_to_json(dataclasses.replace(record, volatile=volatile))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_audit_twice_gives_the_same_record(name: str) -> None:
    first = audited_once(name)
    torch.rand(3)
    assert blanked(first) == blanked(audited(name))


def test_another_seed_gives_another_record() -> None:
    first, other = (audited("train-only", seed=n, only=["capacity-off"]) for n in (0, 1))
    assert repr(first.findings) != repr(other.findings)


@pytest.mark.parametrize("check", [check.id for check in catalogue()])
def test_a_check_alone_finds_what_it_finds_among_others(check: str) -> None:
    whole = {finding.check: finding for finding in audited_once("train-only").findings}
    (alone,) = audited("train-only", only=[check]).findings
    assert repr(alone) == repr(whole[check])


def test_leaving_a_check_out_changes_no_other() -> None:
    whole = [f for f in audited_once("train-only").findings if f.check != "dead-units"]
    assert repr(audited("train-only", skip=["dead-units"]).findings) == repr(tuple(whole))
