"""Sequences in lockstep: the same results as one at a time, and what a failing one does to the others."""

from __future__ import annotations

from pathlib import Path

import cv2
import faulty_trackers
import numpy as np
import pytest
from faulty_trackers import FaultyParameters

from ltr.dataset.boxfile import read_boxes
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.running import Workers, run_dataset
from pytracking.evaluation.tracker import TrackerRun, trackerlist
from pytracking.tracker.shared import online_targets

LITE = trackerlist("dimp", "dimp_nceplus_lite", 3)


def short(sequence: Sequence, count: int, folder: Path) -> None:
    """The first frames of a sequence as one of its own, in the layout of `folder`."""
    target = folder / sequence.name / "img"
    target.mkdir(parents=True)
    for number, frame in enumerate(sequence.frames[:count]):
        (target / f"{number + 1:04d}.jpg").write_bytes(frame.read_bytes())
    np.savetxt(target.parent / "groundtruth_rect.txt", sequence.ground_truth_rect[:count], delimiter=",")


@pytest.fixture
def clips(tmp_path: Path) -> list[Sequence]:
    """Three clips of 3, 5 and 4 frames."""
    for sequence, count in zip(get_dataset("demo", sequences=["ball", "dog", "mug"]), (3, 5, 4)):
        short(sequence, count, tmp_path / "clips")
    return get_dataset("folder", path=tmp_path / "clips")


def boxes(root: Path, sequences: list[Sequence], run: TrackerRun = LITE[0]) -> dict[str, np.ndarray]:
    return {sequence.name: read_boxes(run.result_folder(root) / f"{sequence.name}.txt") for sequence in sequences}


@pytest.mark.parametrize("workers", [Workers(batch=2), Workers(1, torch_threads=1, batch=2)])
def test_in_lockstep_results_are_those_of_one_at_a_time(
    workers: Workers, clips: list[Sequence], tmp_path: Path
) -> None:
    assert run_dataset(clips, LITE, tmp_path / "one") == []
    assert run_dataset(clips, LITE, tmp_path / "batch", workers=workers) == []
    one, batch = boxes(tmp_path / "one", clips), boxes(tmp_path / "batch", clips)
    for sequence in clips:
        assert len(batch[sequence.name]) == len(sequence.frames)
        assert np.abs(one[sequence.name] - batch[sequence.name]).max() < 0.01
    folder = LITE[0].result_folder(tmp_path / "batch")
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        file.name for file in LITE[0].result_folder(tmp_path / "one").iterdir()
    )
    # A second call finds everything done.
    before = (folder / "dog.txt").stat().st_mtime_ns
    assert run_dataset(clips, LITE, tmp_path / "batch", workers=workers) == []
    assert (folder / "dog.txt").stat().st_mtime_ns == before


@pytest.mark.cuda
@pytest.mark.parametrize("workers", [Workers(batch=3), Workers(1, torch_threads=1, batch=3)])
def test_a_gpu_gives_the_boxes_of_the_cpu_in_a_batch(
    workers: Workers, clips: list[Sequence], tmp_path: Path, gpu: str
) -> None:
    assert run_dataset(clips, LITE[:1], tmp_path / "cpu", overrides={"device": "cpu"}) == []
    assert run_dataset(clips, LITE[:1], tmp_path / "gpu", overrides={"device": gpu}, workers=workers) == []
    one, batch = boxes(tmp_path / "cpu", clips), boxes(tmp_path / "gpu", clips)
    assert all(np.abs(one[sequence.name] - batch[sequence.name]).max() < 1 for sequence in clips)


def test_an_unreadable_frame_fails_its_sequence_only(clips: list[Sequence], tmp_path: Path) -> None:
    clips[1].frames[2].write_bytes(b"no picture")
    (failure,) = run_dataset(clips, LITE, tmp_path / "batch", workers=Workers(batch=3))
    assert failure.sequence == "dog"
    assert failure.message.startswith("frame 3 of 5")
    assert set(boxes(tmp_path / "batch", [clips[0], clips[2]])) == {"ball", "mug"}


def test_a_frame_of_another_kind_fails_its_sequence_only(clips: list[Sequence], tmp_path: Path) -> None:
    cv2.imwrite(str(clips[0].frames[0]), np.zeros((8, 8, 3), np.uint8))
    (failure,) = run_dataset(clips, LITE, tmp_path / "batch", workers=Workers(batch=3))
    assert failure.sequence == "ball"
    assert "groundtruth_rect.txt" in failure.message


def test_an_error_of_the_whole_batch_is_laid_to_the_sequence_that_causes_it(
    clips: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = online_targets.OnlineTargets.track

    def sometimes(self: object, images: dict[int, np.ndarray]) -> object:
        if any(image.shape == dog for image in images.values()):
            raise RuntimeError("out of memory, in pretence")
        return track(self, images)  # type: ignore[arg-type]

    for frame in clips[1].frames:
        cv2.imwrite(str(frame), cv2.imread(str(frame))[:-2])
    dog = clips[1].image(0).shape
    others = [clips[0], clips[2]]
    assert all(sequence.image(0).shape != dog for sequence in others)
    monkeypatch.setattr(online_targets.OnlineTargets, "track", sometimes)
    (failure,) = run_dataset(clips, LITE, tmp_path / "batch", workers=Workers(batch=3))
    assert (failure.sequence, failure.message) == ("dog", "RuntimeError: out of memory, in pretence")
    assert failure.details is not None and "Traceback" in failure.details
    assert set(boxes(tmp_path / "batch", others)) == {"ball", "mug"}


def test_trackers_without_a_batch_run_one_at_a_time(
    clips: list[Sequence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    faulty_trackers.use(monkeypatch, FaultyParameters("random"))
    frames = sum(len(clip.frames) for clip in clips)
    runs = trackerlist("static", "default", 1)
    for name, workers in (("one", Workers()), ("batch", Workers(batch=2)), ("process", Workers(1, batch=2))):
        assert run_dataset(clips, runs, tmp_path / name, workers=workers) == []
        assert f"{frames} of {frames} frames" in capsys.readouterr().err, "their frames are counted"
    one, batch, process = (boxes(tmp_path / name, clips, runs[0]) for name in ("one", "batch", "process"))
    assert all(np.array_equal(one[name], batch[name]) and np.array_equal(one[name], process[name]) for name in one)
