"""Attributes measured on boxes: the definitions, and agreement with OTB-100's published list."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ltr.dataset import layout
from pytracking import get_dataset
from pytracking.analysis.measured_attributes import measured_attributes, with_measured_attributes

STILL = [[100.0, 100.0, 40.0, 30.0]] * 4
LISTS = Path(layout.__file__).parent / "sequence_lists"


def changed(frame: int, box: list[float]) -> np.ndarray:
    boxes = np.array(STILL)
    boxes[frame] = box
    return boxes


@pytest.mark.parametrize(
    ("frame", "box", "expected"),
    [
        (1, STILL[0], ()),
        (2, [100, 100, 80, 15], ("ARC", "FM")),
        (2, [85, 100, 70, 30], ()),
        (2, [100, 100, 56, 42], ()),
        (2, [85, 85, 60, 45], ("SV",)),
        (2, [108, 106, 24, 18], ("SV",)),
        (2, [108, 106, 20, 18], ("LR", "SV")),
        (2, [119, 100, 40, 30], ()),
        (2, [121, 100, 40, 30], ("FM",)),
        (2, [np.nan] * 4, ()),
        (2, [300, 300, 0, 0], ()),
    ],
)
def test_definitions(frame: int, box: list[float], expected: tuple[str, ...]) -> None:
    assert measured_attributes(changed(frame, box)) == expected


def test_motion_over_absent_frames_is_not_counted() -> None:
    boxes = changed(3, [400, 100, 40, 30])
    assert measured_attributes(boxes) == ("FM",)
    boxes[2] = np.nan
    assert measured_attributes(boxes) == ()
    assert measured_attributes(np.full((3, 4), np.nan)) == ()


def test_only_unknown_attributes_are_measured() -> None:
    demo = get_dataset("demo")
    measured = {sequence.name: sequence.attributes for sequence in with_measured_attributes(demo)}
    assert measured == {
        "ball": ("FM",),
        "dog": ("ARC", "FM", "SV"),
        "girl": ("FM",),
        "juggler": (),
        "mug": (),
    }
    assert with_measured_attributes(with_measured_attributes(demo)[:1])[0].attributes == ("FM",)


def test_agrees_with_the_published_list_on_real_sequences(data_folder: Path) -> None:
    published = json.loads((LISTS / "otb_attributes.json").read_text())["sequences"]
    with np.load(data_folder / "foreign_results.npz") as arrays:
        for name in ("Deer", "Couple", "Skiing", "Crossing"):
            found = set(measured_attributes(arrays[f"otb_{name}_annotation"]))
            assert ("SV" in found) == ("SV" in published[name])
            # Crossing is listed as fast, though its boxes move by less than 20 pixels.
            assert ("FM" in found) == ("FM" in published[name] and name != "Crossing")


@pytest.fixture
def data_folder() -> Path:
    return Path(__file__).resolve().parents[2] / "data"
