"""Pictures of what happens inside a frame."""

from __future__ import annotations

import cv2
import pytest
import torch

from ltr.ops.boxes import centres
from pytracking import load_tracker
from pytracking.evaluation import get_dataset
from pytracking.tracker.shared import frame_pictures


def follow(clip, folder, frames=4, **parameters):
    tracker = load_tracker("dimp_nceplus_lite", device="cpu", **parameters)
    tracker.initialize(clip.image(0), clip.init_info()["init_bbox"])
    tracker.debug_to(folder)
    return [tracker.track(clip.image(number)) for number in range(1, frames)]


@pytest.fixture(scope="module")
def clip():
    return next(sequence for sequence in get_dataset("demo") if sequence.name == "mug")


def test_a_picture_a_frame_changes_no_result_and_the_energy_is_highest_near_the_box(clip, tmp_path, monkeypatch):
    drawn = []
    draw = frame_pictures.draw_frame
    monkeypatch.setattr(
        frame_pictures, "draw_frame", lambda *given, **parts: (drawn.append((given, parts)), draw(*given, **parts))[1]
    )
    plain, seen = follow(clip, None), follow(clip, tmp_path / "inside")
    assert [(r.box, r.score, r.flag) for r in plain] == [(r.box, r.score, r.flag) for r in seen]

    files = sorted(path.name for path in (tmp_path / "inside").iterdir())
    assert files == ["target0_0002.png", "target0_0003.png", "target0_0004.png"]
    picture = cv2.imread(str(tmp_path / "inside" / files[0]))
    assert min(picture.shape[:2]) > 700 and picture.std() > 20
    for (sample, box, _), parts in drawn:
        energy = parts["energy"]
        row, column = divmod(int(energy.argmax()), energy.shape[1])
        highest = (torch.tensor([column, row]) + 0.5) * sample.shape[-1] / len(energy)
        box = torch.tensor(box)
        assert ((highest - centres(box)).abs() < box[2:] / 2).all()
        assert not torch.equal(*parts["proposals"])


def test_without_a_box_head_there_is_no_energy_to_draw(clip, tmp_path):
    follow(clip, tmp_path, frames=2, use_iou_net=False)
    assert [path.name for path in tmp_path.iterdir()] == ["target0_0002.png"]
