"""The whole study: every method and seed trained, its step chosen, the detections refined and judged. Resumable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from experiments.common import remembered
from experiments.detection.coco_files import (
    Detections,
    Instances,
    average_precision,
    mean_overlap,
    read_instances,
    read_results,
    write_results,
)
from experiments.detection.detector import FasterRCNN, FrozenDetector, GivenBoxes, torchvision_model
from experiments.detection.head import load_head
from experiments.detection.refinement import choose_step, refine
from experiments.detection.settings import STEPS, DetectionSettings, DetectorSettings
from experiments.detection.training import HEAD_FILE, TrainingPlace, train_head
from ltr.admin.files import write_json
from ltr.admin.inputs import read_json
from ltr.data.image import read_image
from ltr.errors import UserError, check_names
from ltr.trainers.log import environment

STUDY_FILE = "study.json"
_BATCH = 4


@dataclass(frozen=True)
class Workplace:
    """Where the study runs.

    Attributes:
        data: Folder of COCO 2017, or of a small data set of `make-small`.
        folder: Folder of the results.
        device: Device to train on, 'cpu', 'cuda', ...
        workers: Number of processes that read images.
    """

    data: Path
    folder: Path
    device: str = "cpu"
    workers: int = 0

    def instances(self, split: str) -> Instances:
        """The annotations of 'train', 'tune' or 'val': COCO's own layout, else the small one."""
        official = self.data / "annotations" / f"instances_{split}2017.json"
        if official.is_file():
            return read_instances(official, self.data / f"{split}2017")
        return read_instances(self.data / f"instances_{split}.json", self.data / "images")

    def detections_file(self, split: str) -> Path:
        """What the detector found, as `detect` writes it; given boxes lie beside the annotations.

        Raises:
            UserError: neither is there.
        """
        given, made = self.data / f"detections_{split}.json", self.folder / f"detections_{split}.json"
        if given.is_file():
            return given
        if not made.is_file():
            raise UserError(f"there is neither {made} nor {given}: run 'detect --split {split}' first")
        return made

    def cache(self, settings: DetectionSettings) -> Path | None:
        """Folder of the features; None where none are kept."""
        return self.folder / "features" if settings.detector.cache else None


def make_detector(settings: DetectorSettings, device: str) -> FrozenDetector:
    """The frozen detector by its name.

    Raises:
        ValueError: an unknown name.
        PretrainedWeightsError: its weights or torchvision cannot be had.
    """
    check_names("detector", [settings.name], ("fasterrcnn", "lite0"))
    if settings.name == "fasterrcnn":
        return FasterRCNN(torchvision_model(settings.weights), device)
    return GivenBoxes(longest_side=settings.longest_side, device=device)


def detect(place: Workplace, detector: FrozenDetector, split: str) -> Path:
    """Run the detector over the images of a split; writes `<folder>/detections_<split>.json`, COCO's results format."""
    images = place.instances(split).images
    found: list[tuple[int, Detections]] = []
    for start in tqdm(range(0, len(images), _BATCH), desc=f"detecting in {split}", unit="batch"):
        part = images[start : start + _BATCH]
        identities = [image.identity for image in part]
        found += zip(identities, detector.detect([read_image(image.path) for image in part], identities))
    path = place.folder / f"detections_{split}.json"
    write_results(path, found)
    return path


def run_study(place: Workplace, settings: DetectionSettings, detector: FrozenDetector | None = None) -> dict[str, Any]:
    """Train and judge every method with every seed; what is done is not done again.

    Args:
        detector: made from the settings where None.

    Returns:
        What `report` publishes, also written to `<folder>/study.json`.
    """
    detector = make_detector(settings.detector, place.device) if detector is None else detector
    judged = place.instances("val")
    file = place.detections_file("val")
    starts = known(read_results(file), judged)
    before = {**average_precision(judged.path, file), "overlap": mean_overlap(judged, starts, starts)}
    train = place.instances("train")
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in settings.methods}
    for seed in settings.seeds:
        for name in settings.methods:
            folder, device = place.folder / f"{name}_{seed}", torch.device(place.device)
            training = TrainingPlace(folder, place.cache(settings), device, place.workers)
            train_head(name, seed, detector, train.images, list(train.categories), settings, training)
            rows[name].append(judge(place, settings, detector, name, seed, judged, starts))
    # A small data set says what it was made from.
    made = place.data / "made.json"
    study = {
        "settings": settings.to_dict(),
        "data": {
            "name": str(read_json(made)["source"]) if made.is_file() else place.data.name,
            "official": (place.data / "annotations").is_dir(),
            "train_images": len(train.images),
            "judged_images": len(judged.images),
            "judged_boxes": sum(len(image.boxes) for image in judged.images),
            "detections": sum(len(each) for each in starts.values()),
        },
        "device": place.device,
        "environment": environment(),
        "before": before,
        "methods": rows,
    }
    write_json(place.folder / STUDY_FILE, study)
    return study


def known(detections: dict[int, Detections], instances: Instances) -> dict[int, Detections]:
    """The detections, once checked that images and categories are the annotations'.

    Raises:
        UserError: an image or a category that the annotations lack.
    """
    strange = set(detections) - {image.identity for image in instances.images}
    if strange:
        raise UserError(f"there are detections in image {min(strange)}, which {instances.path} lacks")
    classes = {category for each in detections.values() for category in each.classes.tolist()}
    if classes - set(instances.categories):
        unknown = min(classes - set(instances.categories))
        raise UserError(f"there are detections of category {unknown}, which {instances.path} lacks")
    return detections


def judge(
    place: Workplace,
    settings: DetectionSettings,
    detector: FrozenDetector,
    name: str,
    seed: int,
    judged: Instances,
    starts: dict[int, Detections],
) -> dict[str, Any]:
    """Metrics of a trained head: AP after refinement, the step and what chose it, seconds an iteration."""
    folder = place.folder / f"{name}_{seed}"
    question = {"refinement": settings.to_dict()["refinement"], "head": (folder / HEAD_FILE).stat().st_mtime_ns}

    def answer() -> dict[str, Any]:
        head, card = load_head(folder / HEAD_FILE)
        head = head.to(place.device)
        options: dict[str, Any] = {
            "settings": settings.refinement,
            "cache": place.cache(settings),
            "workers": place.workers,
        }
        step, tried = STEPS[name], dict[float, float]()
        if len(settings.refinement.factors) > 1:
            tuning = place.instances("tune")
            found = known(read_results(place.detections_file("tune")), tuning)
            refined_by = partial(refine, head, detector, tuning, found, **options)
            step, tried = choose_step(refined_by, tuning, found, step, settings.refinement.factors)
        refined = refine(head, detector, judged, starts, step, **options)
        write_results(folder / "results_val.json", refined.items())
        return {
            **average_precision(judged.path, folder / "results_val.json"),
            "overlap": mean_overlap(judged, starts, refined),
            "step": list(step),
            "tried": {f"{factor:g}": overlap for factor, overlap in tried.items()},
            "seconds_per_iteration": card["seconds_per_iteration"],
        }

    stored = remembered(folder / "metrics.json", question, answer)
    return {key: value for key, value in stored.items() if key != "question"}
