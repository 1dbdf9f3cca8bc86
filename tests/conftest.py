"""What holds for every test: nothing is read from or left in the user's cache. And the device of tests on a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Tests that drive other programs: a browser, Ray, TraX, workers that get signals, pip. On a busy machine one of those
# can stumble without a fault of ours, so such a test fails only if it fails three times; the summary counts reruns.
OTHER_PROGRAMS = (
    "test_external_tracker",
    "test_foreign",
    "test_install",
    "test_interruption",
    "test_journeys",
    "test_loader_faults",
    "test_locks",
    "test_notebooks",
    "test_on_gpu",
    "test_ray_backend",
    "test_report_browser",
    "test_running",
    "test_shared_results",
    "test_toolkits",
    "test_trax_guard",
    "test_trax_server",
    "test_workers",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of OTHER_PROGRAMS run up to three times."""
    for item in items:
        if item.path.stem in OTHER_PROGRAMS:
            item.add_marker(pytest.mark.flaky(reruns=2))


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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of the tests that are marked 'cuda'."""
    parser.addoption("--gpu", default="cuda", help="device of the tests marked 'cuda'; 'cpu' tries their code")


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> str:
    """The device of a test that is marked 'cuda', which is skipped where there is no GPU."""
    import torch

    device = str(request.config.getoption("--gpu"))
    if device.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU here; --gpu cpu tries the code of this test without one")
    return device
