import os

import pytest
import torch

SHARED = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "data")
EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "examples")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def shared():
    """Path in the data that is not part of the project; skips where it is absent."""

    def path(name):
        full = os.path.join(SHARED, name)
        if not os.path.exists(full):
            pytest.skip(f"real data {name} not in reach")
        return full

    return path


@pytest.fixture
def examples():
    return lambda name: os.path.join(EXAMPLES, name)
