import os

import pytest
import torch

# Tests run side by side, and so do the workers that they start: threads of several processes that
# wait for one another on the same cores make each ten times slower.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let a test draw the same numbers whatever ran before it, on whatever worker."""
    torch.manual_seed(0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write the golden files anew")
