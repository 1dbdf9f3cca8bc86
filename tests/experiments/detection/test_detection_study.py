"""Refinement, the whole study in small, its tables, and the commands."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_detection import StandIn, small_data, tiny_detector, tiny_settings

from experiments.detection import __main__ as command
from experiments.detection import report, study
from experiments.detection.coco_files import read_instances, read_results
from experiments.detection.detector import FasterRCNN
from experiments.detection.head import EnergyHead, box_energy
from experiments.detection.refinement import choose_step, refine
from experiments.detection.settings import PRESETS, STEPS, HeadSettings, RefinementSettings
from experiments.detection.study import Workplace, detect, run_study
from ltr.errors import UserError

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture
def data(tmp_path):
    return small_data(tmp_path)


@pytest.fixture
def val(data):
    return read_instances(data / "instances_val.json", data / "images"), read_results(data / "detections_val.json")


def steep_head(detector):
    torch.manual_seed(0)
    head = EnergyHead(detector.channels, [1, 18], HeadSettings(bins=3, hidden=16))
    for layer in (head.fc6, head.fc7, head.energy):
        torch.nn.init.normal_(layer.weight, std=1.0)
    return head.requires_grad_(False)


@pytest.mark.parametrize("factor", [1.0, 1e3, 1e6])
def test_refinement_never_lowers_a_score_and_keeps_class_and_score(val, factor):
    instances, starts = val
    detector = tiny_detector()
    head = steep_head(detector)
    step = (4e-4 * factor, 1.6e-3 * factor)
    refined = refine(head, detector, instances, starts, step, RefinementSettings(steps=4))
    assert list(refined) == [image.identity for image in instances.images]
    moved = 0
    for image in instances.images:
        before, after = starts[image.identity], refined[image.identity]
        assert torch.equal(before.scores, after.scores) and torch.equal(before.classes, after.classes)
        pyramids = detector.pyramids([study.read_image(image.path)])
        energy = box_energy(head, pyramids, [len(before)], before.classes)
        rise = energy(after.boxes[:, None]) - energy(before.boxes[:, None])
        # Boxes go to relative space and back.
        assert (rise >= -1e-4 * energy(before.boxes[:, None]).abs()).all()
        assert after.boxes.isfinite().all() and (after.boxes[:, 2:] > 0).all()
        moved += int(((after.boxes - before.boxes).abs().amax(1) > 1e-3).sum())
    assert moved > 0 or factor != 1e3


def test_detections_below_the_limit_stay_and_images_without_any_have_none(val):
    instances, starts = val
    first, second = (image.identity for image in instances.images)
    detector = tiny_detector()
    kept = {first: starts[first]}
    limit = RefinementSettings(steps=2, below=float(starts[first].scores.max()))
    refined = refine(steep_head(detector), detector, instances, kept, (1.0, 1.0), limit)
    assert second not in refined
    low = starts[first].scores < limit.below
    assert torch.equal(refined[first].boxes[low], starts[first].boxes[low]) and low.any()
    assert refine(steep_head(detector), detector, instances, {}, (1.0, 1.0), limit) == {}


def test_the_step_with_the_best_boxes_is_chosen(val, monkeypatch):
    instances, starts = val
    overlaps = iter([0.5, 0.8, 0.7])
    monkeypatch.setattr("experiments.detection.refinement.mean_overlap", lambda *_: next(overlaps))
    steps = []
    step, tried = choose_step(lambda step: steps.append(step) or starts, instances, starts, (1e-4, 2e-4), (1, 4, 16))
    assert steps == [(1e-4, 2e-4), (4e-4, 8e-4), (16e-4, 32e-4)]
    assert step == (4e-4, 8e-4) and tried == {1.0: 0.5, 4.0: 0.8, 16.0: 0.7}


def test_the_whole_study_is_not_done_twice(data, tmp_path, monkeypatch):
    place = Workplace(data, tmp_path / "work")
    settings = tiny_settings(methods=("nce", "mlmcmc1"), seeds=(0, 1))
    found = run_study(place, settings, tiny_detector())
    rows = found["methods"]["nce"]
    assert len(rows) == 2 and set(rows[0]["tried"]) == {"1", "16"} and rows[0]["seconds_per_iteration"] > 0
    assert 0 <= rows[0]["AP"] <= rows[0]["AP50"] <= 1 and 0 < found["before"]["overlap"] < 1
    refined = read_results(tmp_path / "work/nce_0/results_val.json")
    assert {k: len(v) for k, v in refined.items()} == {
        k: len(v) for k, v in read_results(data / "detections_val.json").items()
    }
    again = tiny_detector()
    monkeypatch.setattr(study, "refine", None)
    monkeypatch.setattr("experiments.detection.training.batches", None)
    assert run_study(place, settings, again) == found
    assert json.loads((tmp_path / "work/study.json").read_text()) == json.loads(json.dumps(found))
    table = report.main_table(found)
    assert table.count("\n") == 1 + 1 + len(found["methods"]) and "paper's AP / AP50 / AP75, other data" in table
    assert re.search(r"\| ML-MCMC-1 +\|.* 36\.4 / 57\.9 / 38\.8 +\| 2\.47 +\|", table)
    official = report.main_table({**found, "data": {**found["data"], "official": True}})
    assert "other data" not in official


def test_coco_as_it_is_laid_out_with_a_detector_that_finds_the_boxes(data, tmp_path):
    coco = tmp_path / "coco"
    (coco / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (data / f"instances_{split}.json").rename(coco / "annotations" / f"instances_{split}2017.json")
        (coco / f"{split}2017").symlink_to(data / "images")

    class Cut(FasterRCNN):
        def pyramids(self, images):
            return super().pyramids([image[:32, :32] for image in images])

    detector = Cut(StandIn())
    place = Workplace(coco, tmp_path / "work")
    settings = tiny_settings(methods=("nceplus",), refinement=RefinementSettings(steps=2))
    settings = replace(settings, head=HeadSettings(bins=3, hidden=8))
    with pytest.raises(UserError, match="run 'detect --split val' first"):
        run_study(place, settings, detector)
    path = detect(place, detector, "val")
    assert path == tmp_path / "work/detections_val.json"
    assert {len(each) for each in read_results(path).values()} == {1}
    found = run_study(place, settings, detector)
    assert found["data"]["official"] and found["methods"]["nceplus"][0]["step"] == list(STEPS["nceplus"])


def test_detections_of_another_data_set_are_refused(data, tmp_path):
    path = data / "detections_val.json"
    rows = json.loads(path.read_text())
    place = Workplace(data, tmp_path / "work")
    for change, message in [({"image_id": 999}, "image 999, which"), ({"category_id": 83}, "category 83, which")]:
        path.write_text(json.dumps([{**rows[0], **change}, *rows[1:]]))
        with pytest.raises(UserError, match=message):
            study.known(read_results(path), place.instances("val"))


def run_quick(monkeypatch, data, folder, *more):
    monkeypatch.setitem(PRESETS, "quick", tiny_settings(methods=("nce", "dsm")))
    monkeypatch.setattr(study, "make_detector", lambda *_: tiny_detector())
    return command.main(["run", "--quick", "--data", str(data), "--workspace", str(folder), "--device", "cpu", *more])


def test_the_commands_from_data_to_the_page(data, tmp_path, monkeypatch, capsys):
    assert run_quick(monkeypatch, data, tmp_path / "work") == 0
    assert "| detections as given |" in capsys.readouterr().out
    page = tmp_path / "docs" / "detection.md"
    page.parent.mkdir()
    marks = "".join(f"<!-- {name} -->\n<!-- end -->\n" for name in ("conditions", "main", "tuning"))
    page.write_text(f"before\n{marks}after\n")
    arguments = [
        "--workspace",
        str(tmp_path / "work/quick"),
        "--cards",
        str(tmp_path / "cards"),
        "--docs",
        str(page.parent),
    ]
    assert command.main(["report", *arguments]) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "| DSM " in text and "| x 16 |" in text
    picture = (page.parent / "images/detection_small.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    page.write_text("no places")
    with pytest.raises(UserError, match="has no place for a table"):
        command.main(["report", *arguments])

    with pytest.raises(UserError, match=r"other settings \(training\): choose another folder"):
        run_quick(monkeypatch, data, tmp_path / "work", "--set", "training.iterations=7")
    # Methods, seeds and refinement may change: what is there is used.
    assert run_quick(monkeypatch, data, tmp_path / "work", "--set", "refinement.steps=1") == 0
    with pytest.raises(UserError, match="did you mean 'refinement'"):
        run_quick(monkeypatch, data, tmp_path / "work", "--set", "refinment.steps=1")


@pytest.mark.parametrize("name", ["fasterrcn", "lite"])
def test_an_unknown_detector_is_named(name):
    with pytest.raises(ValueError, match="unknown detector"):
        study.make_detector(replace(PRESETS["paper"].detector, name=name), "cpu")


def test_the_page_has_the_tables_of_the_card_and_commands_that_parse():
    text = (DOCS / "detection.md").read_text()
    card = json.loads((DOCS.parent / "experiments/cards" / report.CARD).read_text())
    for table in (report.conditions(card), report.main_table(card), report.tuning_table(card)):
        assert table in text
    commands = re.findall(
        r"^python -m experiments\.detection (.+?)(?:\s+#.*)?$", text.replace("\\\n", " "), re.MULTILINE
    )
    assert len(commands) >= 5
    for line in commands:
        command.build_parser().parse_args(shlex.split(line))
