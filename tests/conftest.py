"""What holds for every test: nothing is read from or left in the user's cache."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Indices of training data sets go to a folder of this test run."""
    before = os.environ.get("EBM_TRACKING_CACHE")
    os.environ["EBM_TRACKING_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["EBM_TRACKING_CACHE"]
    else:
        os.environ["EBM_TRACKING_CACHE"] = before
