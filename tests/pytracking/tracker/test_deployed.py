"""A tracker as graphs gives the tracker's boxes, by ONNX Runtime alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_tracking import square_video, tiny_dimpnet

from ltr.data.image import read_image
from ltr.errors import UserError
from ltr.ops.crops import BORDER_MODES
from pytracking import get_dataset, load_tracker, run_export
from pytracking.registry import load_parameters
from pytracking.tracker.dimp.deployed import INPUTS, OUTPUTS, graph_patch, write_tracker
from pytracking.tracker.dimp.dimp import DiMP
from pytracking.tracker.dimp.settings import DiMPParameters
from pytracking.tracker.shared.localisation import FLAGS
from pytracking.tracker.shared.search import Target, crop_patch

CHILD = Path(__file__).parents[2] / "support" / "track_by_graphs.py"


def track_both_ways(folder, name, params, tracker, frames, box, monkeypatch):
    """Boxes and flags of the graphs in a process without torch, and of the tracker."""
    drawn = []
    draw = Target.next_jitter
    monkeypatch.setattr(Target, "next_jitter", lambda self, params: drawn.append(draw(self, params)) or drawn[-1])
    tracker.initialize(frames[0], box)
    results = [tracker.track(frame) for frame in frames[1:]]
    job = {
        "frames": np.stack(frames),
        "box": np.asarray(box, np.float32),
        "jitter": np.stack(drawn),
        "skipping": params.train_skipping,
        "iterations": (params.net_opt_update_iter, params.net_opt_hn_iter),
    }
    np.savez(folder / "job.npz", **job)
    subprocess.run([sys.executable, "-I", str(CHILD), str(folder), name], check=True)
    found = np.load(folder / "boxes.npz")
    flags = [FLAGS.index(result.flag) for result in results]
    return found["boxes"], found["flags"].tolist(), np.array([result.box for result in results]), flags


def test_the_shipped_tracker_in_a_real_clip(tmp_path, monkeypatch, capsys) -> None:
    name = "dimp_nceplus_lite"
    assert run_export.main([name, "--onnx", str(tmp_path)]) == 0
    assert f"{name}_step.onnx" in capsys.readouterr().out
    params = load_parameters(name)
    sequence = next(s for s in get_dataset("demo") if s.name == "juggler")
    # The filter learns once.
    frames = [read_image(path) for path in sequence.frames[: params.train_skipping + 4]]
    tracker = load_tracker(name, backend="torch", device="cpu")
    boxes, flags, expected, expected_flags = track_both_ways(
        tmp_path, name, params, tracker, frames, sequence.ground_truth_rect[0], monkeypatch
    )
    np.testing.assert_allclose(boxes, expected, atol=0.01, rtol=0)
    assert flags == expected_flags


@pytest.mark.parametrize(
    ("filter_size", "changes"),
    [
        (
            4,
            {
                "border_mode": "inside",
                "sample_memory_size": 4,
                "use_augmentation": False,
                "train_skipping": 3,
                "displacement_penalty": 0.4,
                "velocity_weight": 0.8,
                "distractor_penalty": 0.5,
            },
        ),
        (5, {"box_refinement_space": "absolute", "score_preprocess": "softmax", "target_not_found_threshold": 0.0}),
    ],
)
def test_other_settings(tmp_path, monkeypatch, filter_size, changes) -> None:
    settings = {
        "image_sample_size": 128,
        "hard_negative_threshold": 0.1,
        "box_refinement_iter": 2,
        "net_opt_iter": 2,
        **changes,
    }
    params = DiMPParameters(backend="torch", device="cpu", **settings)
    network = tiny_dimpnet(filter_size)
    write_tracker(params, network, tmp_path, "tiny")
    # The target stands still, walks, and is gone.
    places = [(60, 50), (60, 50), (63, 52), (66, 54), (69, 55), (300, 300), (69, 55), (75, 57), (80, 58)]
    frames = square_video([(x, y, 24, 20) for x, y in places])
    tracker = DiMP(params, network)
    boxes, flags, expected, expected_flags = track_both_ways(
        tmp_path, "tiny", params, tracker, frames, (60, 50, 24, 20), monkeypatch
    )
    assert flags == expected_flags
    np.testing.assert_allclose(boxes, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("mode", BORDER_MODES)
def test_a_patch_is_that_of_the_tracker(mode) -> None:
    generator = np.random.default_rng(0)
    for height, width, side, y, x in ((90, 120, 40, 50, 60), (90, 120, 301.7, -5.5, 119), (50, 200, 95.2, 20, 190)):
        image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected, shown = crop_patch(image, (y, x), side, 64, mode, 1.5)
        patch, where = graph_patch(
            torch.from_numpy(image), torch.tensor([y, x]).float(), torch.tensor(side), 64, mode, 1.5
        )
        torch.testing.assert_close(patch, expected)
        np.testing.assert_array_equal(where, shown)


def test_inputs_and_outputs_are_documented(capsys) -> None:
    with pytest.raises(SystemExit):
        run_export.main(["--help"])
    said = re.findall(r"\w+", capsys.readouterr().out)
    for part in INPUTS:
        assert {part, *INPUTS[part], *OUTPUTS[part]} <= set(said)


@pytest.mark.parametrize(("changes", "said"), [({"use_iou_net": False}, "use_iou_net"), ({"seed": None}, "a seed")])
def test_what_no_graph_is_made_for_is_said(tmp_path, changes, said) -> None:
    with pytest.raises(UserError, match=said):
        write_tracker(DiMPParameters(**changes), tiny_dimpnet(), tmp_path, "tiny")
    with pytest.raises(UserError, match="no DiMP tracker"):
        run_export.main(["atom_mlis", "--onnx", str(tmp_path)])
