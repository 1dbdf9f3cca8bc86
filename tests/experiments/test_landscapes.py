"""Energy landscapes: grids that show the energy that they say they show."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_study import tiny_study

from experiments import landscapes
from experiments.training_methods.heads import HeadUnit, new_actor, save_unit
from experiments.training_methods.heads import box_settings as box_of
from ltr.ebm.ascent import gradient_ascent
from ltr.errors import UserError
from ltr.ops.boxes import from_relative, to_relative


@pytest.fixture(scope="module")
def scene():
    return landscapes.find_scene("dog", 20)


class Gaussian:
    """An energy with its top at an offset from the annotation."""

    def __init__(self, box, top, sigma):
        self.size, self.top, self.sigma = box[None, 2:], torch.tensor(top), torch.tensor(sigma)
        self.annotation = to_relative(box[None], self.size)

    def __call__(self, points):
        return -0.5 * ((points - self.annotation[:, None] - self.top) / self.sigma).square().sum(-1)

    def score_boxes(self, boxes):
        return self(to_relative(boxes, self.size[:, None]))

    def ascend(self, boxes, **options):
        return gradient_ascent(self.score_boxes, boxes, **options)


def test_axes_and_widths_of_a_known_energy(scene, monkeypatch):
    top, sigma = (0.3, -0.2, 0.1, -0.4), (0.1, 0.05, 0.15, 0.2)
    monkeypatch.setattr(landscapes, "energy_in", lambda scene, net: Gaussian(scene.box, top, sigma))
    found = landscapes.survey(scene, landscapes.Head("Gaussian", None, (1e-3, 1e-3)), extent=1.5, cells=61)
    cell = 0.05
    for grid, (across, down) in ((found.position, top[:2]), (found.size, top[2:])):
        row, column = divmod(int(grid.argmax()), 61)
        assert float(found.offsets[column]) == pytest.approx(across, abs=cell / 2 + 1e-6)
        assert float(found.offsets[row]) == pytest.approx(down, abs=cell / 2 + 1e-6)
    assert found.deviation.tolist() == pytest.approx(sigma, rel=0.03)
    assert float(found.log_position.exp().sum()) * cell**2 == pytest.approx(1, rel=1e-4)
    assert float(found.log_position.max()) == pytest.approx(-math.log(2 * math.pi * 0.1 * 0.05), abs=0.01)


def test_a_flat_energy_looks_flat(scene, monkeypatch):
    monkeypatch.setattr(landscapes, "energy_in", lambda scene, net: Gaussian(scene.box, (0.0,) * 4, (1e4,) * 4))
    found = landscapes.survey(scene, landscapes.Head("flat", None, (1e-3, 1e-3)), cells=5)
    assert found.position.min() < found.position.max()
    (shown,) = landscapes.landscape_figure(scene, [found]).axes[1].images
    low, high = shown.get_clim()
    assert high - low == pytest.approx(0.01)


def test_the_right_step_finds_the_top(scene, monkeypatch):
    top = (0.1, 0.1, 0.1, 0.1)
    monkeypatch.setattr(landscapes, "energy_in", lambda scene, net: Gaussian(scene.box, top, (0.1,) * 4))
    found = landscapes.survey(scene, landscapes.Head("Gaussian", None, (0.01, 0.01)), cells=5)
    wanted = from_relative(to_relative(scene.box, scene.box[2:]) + torch.tensor(top), scene.box[2:])
    assert found.refined.tolist() == pytest.approx(wanted.tolist(), abs=0.05)


def test_the_shipped_network_sees_the_dog(scene):
    (head,) = landscapes.find_heads(None)
    found = landscapes.survey(scene, head, cells=21)
    # A well-trained head has its density near the annotation, far narrower than the grid.
    assert found.overlap > 0.7
    assert found.deviation.max() < 0.2
    row, column = divmod(int(found.position.argmax()), 21)
    assert abs(float(found.offsets[row])) <= 0.2 and abs(float(found.offsets[column])) <= 0.2


def test_heads_of_a_study_side_by_side(monkeypatch, tmp_path, capsys):
    place, settings = tiny_study(monkeypatch, tmp_path)
    folder = place.folder / "heads"
    for method in ("nceplus", "iou"):
        unit = HeadUnit(f"{method}_0", method)
        net = new_actor(settings, box_of(unit, 8), 0, torch.device("cpu")).net.eval()
        save_unit(folder, unit, net, {}, settings)
    output = tmp_path / "pictures" / "l.png"
    assert landscapes.main(["--heads", str(folder), "--cells", "5", "--output", str(output)]) == 0
    captured = capsys.readouterr()
    assert captured.out.index("IoU ") < captured.out.index("NCE+")
    assert "refined with the shipped network's step" in captured.err
    assert output.is_file() and output.with_name("l_profiles.png").is_file()


def test_bad_input_is_one_line(tmp_path):
    for arguments, message in (
        (["--sequence", "dgo"], "did you mean 'dog'"),
        (["--frame", "5000"], "dog has frames 0 to"),
        (["--heads", str(tmp_path)], "no heads <method>_0"),
        (["--cells", "2"], "at least 3"),
    ):
        with pytest.raises(UserError, match=message):
            landscapes.main(arguments)
