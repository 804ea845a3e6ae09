"""Programs that some tests need."""

import os
import shutil

import pytest


def need(*names):
    """Skip the test where a program is missing; fail instead where SAMVAR_REQUIRE_TOOLS is set, as
    in CI."""
    for name in names:
        if not shutil.which(name):
            (pytest.fail if os.environ.get("SAMVAR_REQUIRE_TOOLS") else pytest.skip)(
                f"{name} is not installed"
            )
