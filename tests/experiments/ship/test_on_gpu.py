"""Training on a lent machine: data packed small with boxes to match, a run that travels between calls."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tiny_data import scene, shape_rgba, write_image, write_lines

from experiments.ship.pack import main, pack
from ltr.data.image import read_image, read_mask
from ltr.dataset.boxfile import read_boxes
from ltr.dataset.folders import ImageBoxes
from ltr.errors import UserError

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "experiments" / "ship" / "on_gpu.sh"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for k in range(30):
        write_image(root / "toys" / "rgba" / f"{k:03d}.png", shape_rgba((8 * k, 90, 60)))
        write_image(root / "rooms" / "images" / f"{k:03d}.png", scene(k, 640, 480))
    write_lines(
        root / "rooms" / "boxes.csv", ["image,x,y,w,h,kind", *(f"{k:03d}.png,64,48,320,240,cup" for k in range(30))]
    )
    for k in range(20):
        image = np.zeros((480, 640, 3), np.uint8)
        image[100:300, 200:400] = 200
        for t in range(2):
            write_image(root / "videos" / f"v{k}" / "img" / f"{t:04d}.png", image)
            write_image(root / "videos" / f"v{k}" / "masks" / f"{t:04d}.png", image[..., 0])
        write_lines(root / "videos" / f"v{k}" / "groundtruth_rect.txt", ["200,100,200,200", "nan,nan,nan,nan"])
    return root


def unpacked(archive, folder):
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder


def test_pictures_masks_and_boxes_shrink_together(data, tmp_path):
    assert pack(data, tmp_path / "data.tar", 10**8, steps=((160, 90),)) == (160, 90)
    root = unpacked(tmp_path / "data.tar", tmp_path / "out")
    video = root / "videos" / "v3"
    image, mask = read_image(video / "img" / "0000.jpg"), read_mask(video / "masks" / "0000.png")
    assert image.shape == (120, 160, 3) and mask.shape == (120, 160) and set(np.unique(mask)) == {0, 255}
    boxes = read_boxes(video / "groundtruth_rect.txt")
    assert boxes[0].tolist() == [50, 25, 50, 50] and np.isnan(boxes[1]).all()
    rows, cols = np.nonzero(mask)
    assert (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1) == (50, 25, 100, 75)
    rooms = ImageBoxes(root / "rooms", "rooms")
    assert len(rooms) == 30 and rooms.sequence_info(0).boxes.tolist() == [[16, 12, 80, 60]]
    assert rooms.frames(0, [0])[0].shape == (120, 160, 3)
    assert len(list((root / "toys" / "rgba").glob("*.png"))) == 30


def test_the_first_step_that_fits_is_taken(data, tmp_path):
    large, small = tmp_path / "large.tar", tmp_path / "small.tar"
    pack(data, large, 10**8)
    limit = large.stat().st_size - 100_000
    assert pack(data, small, limit) != pack(data, large, 10**8)
    assert small.stat().st_size <= limit
    with pytest.raises(UserError, match=r"does not fit into 0 MB; leave folders out"):
        pack(data, tmp_path / "none.tar", 10_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.tar", "small.tar"]
    with pytest.raises(UserError, match="no files to pack"):
        main([str(tmp_path / "nothing"), str(small)])


def on_gpu(*arguments):
    command = [str(SCRIPT), *map(str, arguments)]
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment, check=False)


def test_a_run_travels_from_call_to_call(data, tmp_path):
    kept, out = tmp_path / "kept", tmp_path / "out"
    packed = on_gpu("pack", data, kept)
    assert packed.returncode == 0 and (kept / "data.tar").stat().st_size < 60e6, packed.stderr
    # One step of two small samples, then the same run made longer would be another recipe: so it ends at once.
    tiny = ["data.samples_per_epoch=2", "data.validation_samples=2", "batch_size=2", "epochs=1", "precision=fp32"]
    tiny += ["crop.output_size=128", "network.arguments.backbone_pretrained=False", "data.test_frames=1"]
    sets = [word for assignment in tiny for word in ("--set", assignment)]
    command = ("train", kept, out, 250, "dimp_nceplus_lite", "--num-workers", "0", "--device", "cpu", *sets)
    first = on_gpu(*command)
    assert first.returncode == 0 and first.stdout.endswith("trained\n"), first.stderr
    assert on_gpu("keep", out, kept).returncode == 0
    again = on_gpu(*command)
    assert again.returncode == 0 and "resuming dimp_nceplus_lite after step 1" in again.stdout, again.stderr


def test_what_is_missing_is_said(tmp_path):
    for arguments, message in (
        (("train", tmp_path, tmp_path / "out", 5), "data.tar is not there: call pack first"),
        (("keep", tmp_path, tmp_path), "has no run.part.*"),
        (("fly",), "usage:"),
    ):
        answer = on_gpu(*arguments)
        assert answer.returncode == 2 and message in answer.stderr
