import os
import shutil

import pytest
import torch

SHARED = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "data")
EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "examples")
BROWSERS = "chromium", "chromium-browser", "google-chrome"
FLAGS = ("no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update")


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


@pytest.fixture(scope="module")
def browser():
    """Chromium; skips where there is none."""
    api = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=[f"--{flag}" for flag in FLAGS]
        )
        yield chromium
        chromium.close()
