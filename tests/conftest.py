import os
import shutil
import tempfile

import pytest
import torch

from auditor.experiments import baselines
from auditor.intake import assembly

# Tests run side by side, and so do the workers that they start: threads of several processes that
# wait for one another on the same cores make each ten times slower.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder in which all workers of this run keep what they share; see `subjects.once`.

    The history of audits lies there too: no test's audit reaches the history of whoever runs it.
    Workers inherit the environment of the process that starts them.
    """
    if not hasattr(config, "workerinput"):
        shared = tempfile.mkdtemp(prefix="auditor-tests-")
        os.environ["AUDITOR_TESTS_SHARED"] = shared
        os.environ["AUDIT_HISTORY"] = os.path.join(shared, "history.sqlite")
    # Locks are each test worker's own, lest audits of one subject wait for one another.
    own = f"state-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    os.environ["XDG_STATE_HOME"] = os.path.join(os.environ["AUDITOR_TESTS_SHARED"], own)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop("AUDITOR_TESTS_SHARED", ""), ignore_errors=True)


LONGEST = ("test_samples.py", "test_real.py", "test_healthy_models.py", "test_docs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, lest one worker be left with them when the others are done."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let a test draw the same numbers whatever ran before it, on whatever worker."""
    torch.manual_seed(0)


@pytest.fixture
def frugal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every model count as so costly that experiments take the fewest steps they answer from.

    For tests of what an audit leaves behind or repeats, which training longer does not try harder.
    """
    monkeypatch.setattr(assembly, "flops_of", lambda *_: 5e7)
    monkeypatch.setattr(baselines, "BUDGET", 1.0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write the golden files anew")
