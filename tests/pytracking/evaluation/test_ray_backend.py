"""Ray: a cluster of several nodes, simulated on this machine; the same results, and dead actors and nodes replaced."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import faulty_trackers
import numpy as np
import pytest
import ray
import torch
from faulty_trackers import FaultyParameters
from ray.cluster_utils import Cluster

from ltr.dataset.boxfile import read_boxes
from ltr.errors import UserError
from pytracking.evaluation import ray_backend
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.execution import Unit
from pytracking.evaluation.ray_backend import RayWorkers
from pytracking.evaluation.running import Workers, run_dataset
from pytracking.evaluation.tracker import TrackerRun, trackerlist

RUN = TrackerRun("static", "default")
RAY = Workers(2, "ray", torch_threads=1)
_STORE = 80 * 2**20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one core each, at RAY_ADDRESS."""
    given = {name: os.environ.get(name) for name in ("PYTHONPATH", "RAY_ADDRESS", "RAY_USAGE_STATS_ENABLED")}
    os.environ["PYTHONPATH"] = str(Path(faulty_trackers.__file__).parent)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": _STORE, "include_dashboard": False},
    )
    made.add_node(num_cpus=1, object_store_memory=_STORE)
    made.wait_for_nodes()
    os.environ["RAY_ADDRESS"] = made.address
    yield made
    if ray.is_initialized():
        ray.shutdown()
    made.shutdown()
    for name, value in given.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@pytest.fixture
def sequences(sequence_root: Path) -> list[Sequence]:
    found = get_dataset("folder", path=sequence_root)
    found[1].ground_truth_rect[0, 0] = 21
    return found


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many torch threads here as in the workers."""
    threads, opencv = torch.get_num_threads(), cv2.getNumThreads()
    given = os.environ.get("OMP_NUM_THREADS")
    yield
    torch.set_num_threads(threads)
    cv2.setNumThreads(opencv)
    os.environ.pop("OMP_NUM_THREADS", None) if given is None else os.environ.update(OMP_NUM_THREADS=given)


def boxes(root: Path) -> dict[str, bytes]:
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*.txt") if not f.stem.endswith("_time")}


def short_clips(*names: str) -> list[Sequence]:
    """Three frames of demo clips."""
    return [
        replace(found, frames=found.frames[:3], ground_truth_rect=found.ground_truth_rect[:3], target_visible=None)
        for found in get_dataset("demo", sequences=list(names))
    ]


def test_dimp_answers_the_same_here_in_processes_and_on_ray(cluster: Cluster, one_thread: None, tmp_path: Path) -> None:
    short = short_clips("mug")
    runs = trackerlist("dimp", "dimp_nceplus_lite", range(2))
    for folder, workers in {
        "here": Workers(torch_threads=1),
        "processes": Workers(2, torch_threads=1),
        "ray": RAY,
    }.items():
        assert run_dataset(short, runs, tmp_path / folder, workers=workers) == []
    here = boxes(tmp_path / "here")
    assert len(here) == 2
    assert here["dimp/dimp_nceplus_lite_000/mug.txt"] != here["dimp/dimp_nceplus_lite_001/mug.txt"]
    assert boxes(tmp_path / "processes") == here
    assert boxes(tmp_path / "ray") == here


def test_faults_on_ray(
    cluster: Cluster,
    sequences: list[Sequence],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    faulty_trackers.use(monkeypatch, FaultyParameters("kill once", str(notes), x=21))
    assert run_dataset(sequences, [RUN], tmp_path / "killed", workers=RAY) == []
    assert len(boxes(tmp_path / "killed")) == 2
    assert "near is tracked again: its worker died" in capsys.readouterr().err

    faulty_trackers.use(monkeypatch, FaultyParameters("raise", x=21))
    (failure,) = run_dataset(sequences, [RUN], tmp_path / "raises", workers=RAY)
    assert (failure.sequence, failure.message) == ("near", "ZeroDivisionError: deliberate")
    assert "Traceback" in (failure.details or "")
    assert list(boxes(tmp_path / "raises")) == ["static/default/group_far.txt"]

    faulty_trackers.use(monkeypatch, FaultyParameters("create"))
    with pytest.raises(UserError, match=r"^weights.safetensors is damaged$"):
        run_dataset(sequences, [RUN], tmp_path / "broken", workers=RAY)
    assert not ray.is_initialized()


def test_a_machine_that_goes_away(
    cluster: Cluster,
    sequences: list[Sequence],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    faulty_trackers.use(monkeypatch, FaultyParameters(seconds=0.4))
    removed: list[object] = []
    real = RayWorkers.submit

    def submit(self: RayWorkers, unit: object) -> None:
        real(self, unit)  # type: ignore[arg-type]
        if len(removed) == 0 and all(actor.units for actor in self._actors):
            removed.append(cluster.list_all_nodes()[-1])
            cluster.remove_node(removed[0], allow_graceful=False)

    monkeypatch.setattr(RayWorkers, "submit", submit)
    assert run_dataset(sequences, [RUN], tmp_path / "out", workers=RAY) == []
    assert len(removed) == 1
    assert len(boxes(tmp_path / "out")) == 2
    assert "is tracked again: its worker died" in capsys.readouterr().err


def test_more_than_the_cluster_has(cluster: Cluster, sequences: list[Sequence], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no machine of the Ray cluster has 64 CPU, which one worker needs"):
        run_dataset(sequences, [RUN], tmp_path, workers=Workers(1, "ray", torch_threads=64))
    with pytest.raises(UserError, match=r"has 1 CPU, 0\.5 GPU"):
        run_dataset(sequences, [RUN], tmp_path, workers=Workers(1, "ray", gpus_per_worker=0.5))


@pytest.mark.cuda
@pytest.mark.parametrize("share", [None, 0.5])
def test_actors_on_a_gpu_give_the_boxes_of_the_cpu(
    cluster: Cluster, gpu: str, share: float | None, one_thread: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has a GPU for itself, as without --gpus_per_worker, and two that share it."""
    clips, runs, reserved = short_clips("dog", "mug"), trackerlist("dimp", "dimp_nceplus_lite"), set()
    real = RayWorkers.submit

    def submit(self: RayWorkers, unit: Unit) -> None:
        real(self, unit)
        reserved.add(self._needs["GPU"])

    monkeypatch.setattr(RayWorkers, "submit", submit)
    # To Ray a GPU is a number, so that `--gpu cpu` tries this where there is none.
    machine = cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=_STORE)
    try:
        cluster.wait_for_nodes()
        workers = Workers(2, "ray", torch_threads=1, gpus_per_worker=share)
        assert run_dataset(clips, runs, tmp_path / "gpu", workers=workers, overrides={"device": gpu}) == []
    finally:
        cluster.remove_node(machine)
    assert reserved == {share or 1.0}
    assert run_dataset(clips, runs, tmp_path / "cpu", overrides={"device": "cpu"}) == []
    for clip in clips:
        one, other = (read_boxes(runs[0].result_folder(tmp_path / at) / f"{clip.name}.txt") for at in ("gpu", "cpu"))
        assert np.abs(one - other).max() < 1


def test_without_ray(monkeypatch: pytest.MonkeyPatch, sequences: list[Sequence], tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"--backend ray needs Ray: pip install 'ebm-tracking\[ray\]'"):
        run_dataset(sequences, [RUN], tmp_path, workers=RAY)


class Recorded:
    """Stands for Ray, and keeps what it was started with."""

    def __init__(self, answers: bool = True) -> None:
        self.answers = answers
        self.options: dict[str, object] = {}

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: object) -> None:
        self.options = options
        if not self.answers:
            raise ConnectionError("nobody there")


def test_ray_address_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    recorded = Recorded()
    assert ray_backend._connect(recorded, 4)
    assert recorded.options["address"] == "10.0.0.1:6379"
    assert "num_cpus" not in recorded.options
    with pytest.raises(UserError, match=r"no Ray cluster answers at RAY_ADDRESS=10\.0\.0\.1:6379: nobody there"):
        ray_backend._connect(Recorded(answers=False), 4)
    monkeypatch.delenv("RAY_ADDRESS")
    assert ray_backend._connect(recorded, 64)
    assert recorded.options["address"] == "local"
    assert recorded.options["num_cpus"] == 64
