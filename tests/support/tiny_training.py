"""A training run that takes seconds: videos of a bright square, and a recipe for a tiny network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ltr.admin.model_constructor import NetworkConstructor
from ltr.dataset.base import SequenceInfo
from ltr.run_training import load_recipe
from ltr.train_settings import sources
from ltr.train_settings.recipe import BoxSettings, DataSettings, DataSource, OptimiserSettings, Recipe


class BrightSquares:
    """Videos of a bright square that moves over noise."""

    name = "squares"
    is_video = True

    def __len__(self):
        return 6

    def sequence_name(self, index):
        return f"square{index}"

    def sequence_info(self, index):
        boxes = np.array([[20 + 2 * t + index, 25 + t, 24, 20] for t in range(12)], dtype=np.float32)
        everywhere = np.ones(12, dtype=bool)
        return SequenceInfo(boxes=boxes, valid=everywhere, visible=everywhere)

    def frames(self, index, frame_ids):
        images = []
        for t in frame_ids:
            image = np.random.default_rng([index, t]).integers(0, 80, (96, 120, 3), dtype=np.uint8)
            x, y, w, h = self.sequence_info(index).boxes[t].astype(int)
            image[y : y + h, x : x + w] += 150
            images.append(image)
        return images


def tiny_recipe(monkeypatch) -> Recipe:
    """A recipe on `BrightSquares`, which is registered for the test."""
    monkeypatch.setitem(sources.SOURCES, "squares", lambda source, seed: [(BrightSquares(), 1.0)])
    base: Recipe = load_recipe(["dimp_nceplus_lite"])
    squares = (DataSource("squares", "train"),)
    return replace(
        base,
        name="tiny",
        network=NetworkConstructor("dimpnet_lite0", {"out_feature_dim": 16, "box_dim": 16}),
        data=DataSettings(
            squares, squares, samples_per_epoch=12, validation_samples=4, max_gap=5, train_frames=1, test_frames=1
        ),
        crop=replace(base.crop, output_size=96),
        box=BoxSettings("nceplus", {"num_samples": 16}, weight=1.0),
        optimiser=OptimiserSettings({"classifier": 1e-3, "bb_regressor": 1e-3}, schedule="cosine", warmup_steps=2),
        epochs=3,
        batch_size=4,
        precision="fp32",
        validation_interval=1,
    )
