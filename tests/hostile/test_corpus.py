"""Every file of the corpus through the reader as audits use it.

Children are forked here; `test_program` goes through the whole process.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from auditor.core.errors import InputError
from auditor.intake.checkpoint import open_checkpoint
from tests.hostile.cases import Bait, Case, Read, Refused
from tests.hostile.corpus import CORPUS, SHELVES
from tests.hostile.forked import Forking
from tests.hostile.judged import assert_untouched, assert_what_must, looked_at

SECONDS = 10
"""Seconds of computing, of this process and of the one that reads; more pass on a busy machine."""
LONGEST = 60
"""Seconds by the clock."""
MOST_MEMORY = 2 << 30


def test_the_corpus_is_large_and_has_every_class() -> None:
    assert sum(isinstance(case.must, Refused) for case in CORPUS) >= 500
    assert sum(isinstance(case.must, Read) for case in CORPUS) >= 100
    assert {shelf.fault: len(shelf.cases) >= 10 for shelf in SHELVES} == dict.fromkeys(
        (
            "pickles that call",
            "gadgets",
            "polyglots",
            "zips",
            "places",
            "tensors",
            "sparse tensors",
            "structures",
            "texts",
            "safetensors headers",
            "folders",
            "sound",
        ),
        True,
    )


def test_every_case_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(map(str, CORPUS)).items() if count > 1] == []


def _params() -> list[object]:
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(case, id=str(case), marks=marks[case.slow]) for case in CORPUS]


def _computed() -> float:
    times = os.times()
    return times.user + times.system


@pytest.mark.parametrize("case", _params())
def test_case(case: Case, forking: Forking, tmp_path: Path) -> None:
    if case.id == "unreadable" and os.geteuid() == 0:
        pytest.skip("root reads everything")
    bait = Bait(tmp_path / "f", tmp_path / "MARKER")
    bait.folder.mkdir()
    path = case.write(bait)
    before = looked_at(bait.folder)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, computed = time.monotonic(), _computed() + forking.computed
    try:
        weights = open_checkpoint(path).weights
        refusal = None
    except InputError as error:
        refusal = str(error)
    assert _computed() + forking.computed - computed < SECONDS
    assert time.monotonic() - start < LONGEST
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert (more + forking.memory) * 1024 < MOST_MEMORY
    assert_what_must(case, path, refusal)
    assert_untouched(bait, before)
    if refusal is None:
        assert weights
        for tensor in weights.values():
            if tensor.layout is not torch.strided and tensor.numel() < 1_000:
                tensor.to_dense()


LIVE = (
    *("reduce", "obj", "inst", "stack-global", "names-from-the-memo"),
    *("function-from-the-memo", "outcome-thrown-away", "as-a-key"),
    *("in-arguments-of-a-class", "in-an-ordered-dict"),
)
UNPICKLES = """
import io, json, pickle, sys, zipfile

class Naive(pickle.Unpickler):
    def persistent_load(self, pid):
        return None

    def find_class(self, module, name):
        if module.startswith(("torch", "nobody")) and "." not in name:
            return lambda *made_of: None
        return super().find_class(module, name)

for path in json.loads(sys.argv[1]):
    with zipfile.ZipFile(path) as archive:
        try:
            Naive(io.BytesIO(archive.read("archive/data.pkl"))).load()
        except Exception:
            pass
"""


def test_payloads_are_live(tmp_path: Path) -> None:
    """Whoever unpickles these files without care runs what is in them: the corpus has teeth."""
    baits = []
    for name in LIVE:
        case = next(case for case in CORPUS if case.id == f"{name}-in-zip")
        bait = Bait(tmp_path / name, tmp_path / f"{name}-ran")
        bait.folder.mkdir()
        baits.append((bait, str(case.write(bait))))
    told = json.dumps([path for _, path in baits])
    subprocess.run([sys.executable, "-c", UNPICKLES, told], check=True, timeout=60)
    deadline = time.monotonic() + 5  # some are started and not waited for
    while time.monotonic() < deadline and not all(bait.marker.exists() for bait, _ in baits):
        time.sleep(0.05)
    assert [bait.marker.name for bait, _ in baits if not bait.marker.exists()] == []
