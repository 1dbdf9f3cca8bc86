"""Programs in other processes as trackers: a small foreign one, and our own under `vot run`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from ltr.dataset.boxfile import read_boxes
from ltr.errors import UserError
from pytracking.evaluation.datasets import get_dataset
from pytracking.evaluation.running import run_dataset
from pytracking.evaluation.tracker import trackerlist
from pytracking.registry import list_trackers, load_tracker

pytest.importorskip("trax")

# What somebody else's tracker looks like: it moves one pixel to the right each frame, and sees which frame it was sent.
FOREIGN = """
import trax

with trax.Server([trax.Region.RECTANGLE], [{format}]) as server:
    frame = 0
    while True:
        request = server.wait()
        if request.type == "initialize":
            frame, (x, y, w, h) = 0, request.objects[0][0].bounds()
        elif request.type == "frame":
            frame += 1
            if frame == {ends_at}:
                raise RuntimeError("out of cheese")
            if frame == {sleeps_at}:
                import time
                time.sleep(60)
        else:
            break
        if frame == {lost_at}:
            server.status([(trax.Special.create(0), {{}})])
        else:
            server.status([(trax.Rectangle.create(x + frame, y, w, h), {{"confidence": 0.5}})])
"""


def command(folder: Path, format: str = "trax.Image.MEMORY", **at: int) -> str:
    script = folder / "foreign tracker.py"
    frames = {"ends_at": -1, "sleeps_at": -1, "lost_at": -1} | at
    script.write_text(FOREIGN.format(format=format, **frames))
    return shlex.join([sys.executable, str(script)])


IMAGE = np.zeros((40, 60, 3), np.uint8)


@pytest.mark.parametrize("format", ["trax.Image.MEMORY", "trax.Image.BUFFER", "trax.Image.PATH"])
def test_a_foreign_program_tracks_and_is_kept_for_the_next_sequence(format: str, tmp_path: Path) -> None:
    tracker = load_tracker("trax", "external", command=command(tmp_path, format, lost_at=2))
    for _ in range(2):
        assert tracker.initialize(IMAGE, (10, 10, 8, 8)).flag == "init"
        first, second, third = (tracker.track(IMAGE) for _ in range(3))
        assert (first.box, first.score, first.flag) == ((11, 10, 8, 8), 0.5, "normal")
        assert (second.box, second.score, second.flag) == ((11, 10, 8, 8), 0.0, "not_found")
        assert third.box == (13, 10, 8, 8)


def test_a_program_that_ends_or_hangs_is_one_error_and_is_started_anew(tmp_path: Path) -> None:
    tracker = load_tracker("trax", "external", command=command(tmp_path, ends_at=1))
    for _ in range(2):
        tracker.initialize(IMAGE, (10, 10, 8, 8))
        with pytest.raises(UserError, match="out of cheese"):
            tracker.track(IMAGE)
    slow = load_tracker("trax", "external", command=command(tmp_path, sleeps_at=1), timeout=1.5)
    slow.initialize(IMAGE, (10, 10, 8, 8))
    with pytest.raises(UserError, match=r"no answer within 1\.5 s"):
        slow.track(IMAGE)


def test_a_greeting_that_the_library_refuses_starts_the_program_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trax.client

    make, refusals = trax.client.Client, []

    def refuse_once(**arguments: object) -> object:
        if refusals.pop() == 0:
            raise trax.client.TraxException("Unable to connect to tracker")
        return make(**arguments)

    monkeypatch.setattr(trax.client, "Client", refuse_once)
    for starts, succeeds in (([1, 0], True), ([0, 0], False)):
        refusals[:] = starts
        tracker = load_tracker("trax", "external", command=command(tmp_path))
        if succeeds:
            assert tracker.initialize(IMAGE, (10, 10, 8, 8)).flag == "init"
        else:
            with pytest.raises(UserError, match="Unable to connect"):
                tracker.initialize(IMAGE, (10, 10, 8, 8))
        assert refusals == []


@pytest.mark.parametrize(
    ("words", "message"), [("", "set `command`"), ("no-such-program-7", "cannot be started"), ("true", "'true': ")]
)
def test_a_program_that_does_not_start_is_one_error(words: str, message: str) -> None:
    tracker = load_tracker("trax", "external", command=words, timeout=5.0)
    with pytest.raises(UserError, match=message):
        tracker.initialize(IMAGE, (10, 10, 8, 8))


def test_programs_in_the_users_file_are_trackers_that_the_runner_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = tmp_path / "paths.toml"
    ours = shlex.join([sys.executable, "-m", "pytracking", "vot", "run", "static", "default"])
    paths.write_text(f"[external]\nours = {ours!r}\n")
    monkeypatch.setenv("EBM_TRACKING_PATHS", str(paths))
    assert list_trackers()["external"] == ["ours", "trax"]
    sequences = get_dataset("demo", sequences=["ball"])
    assert run_dataset(sequences, trackerlist("external", "ours"), tmp_path / "results") == []
    boxes = read_boxes(tmp_path / "results" / "external" / "ours" / "ball.txt")
    assert len(boxes) == len(sequences[0].frames)
    assert np.allclose(boxes, boxes[0], atol=1e-3)


GREETING = (
    '@@TRAX:hello "trax.name=x" "trax.image=path;" "trax.region=rectangle;" "trax.version=4" "trax.channels=color;"'
)


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        (GREETING[:30], "its last message is cut off after 30 bytes"),
        (f"{GREETING}\n", "it sent no more"),
        (f'{GREETING}\n@@TRAX:state "1,2,3,4\n', "a malformed message"),
        (f'{GREETING}\n@@TRAX:state ""\n', "a malformed message"),
        ("x" * (1 << 21), "that is no TraX message"),
    ],
)
def test_a_program_that_answers_half_a_message_is_one_error(says: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "says.txt").write_text(says)
    tracker = load_tracker("trax", "external", command=f"cat {shlex.quote(str(tmp_path / 'says.txt'))}")
    with pytest.raises(UserError, match=problem):
        tracker.initialize(IMAGE, (10, 10, 8, 8))
