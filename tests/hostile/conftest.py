from collections.abc import Iterator

import pytest

from auditor.opening import process
from tests.hostile.forked import Forking


@pytest.fixture(scope="session")
def _forking() -> Iterator[Forking]:
    forking = Forking()
    yield forking
    forking.close()


@pytest.fixture
def forking(_forking: Forking, monkeypatch: pytest.MonkeyPatch) -> Forking:
    """Have checkpoints read by forks of one process, under the same limits."""
    monkeypatch.setattr(process, "_started", _forking.started)
    return _forking
