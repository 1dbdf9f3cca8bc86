"""The study of training methods in seconds: a tiny network, videos of bright squares, few steps."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_training import tiny_recipe

from experiments.training_methods import settings as study
from experiments.training_methods.stages import Workplace
from ltr.admin.checkpoint import save_network

# Sources are few: six squares, of which 'validation' and 'test' must each have some.
SIZES = {
    "methods": ("iou", "nceplus"),
    "seeds": (0, 1),
    "steps": 3,
    "sequences_per_step": 2,
    "num_samples": 8,
    "rates": (1e-3,),
    "train_samples": 6,
    "validation_samples": 2,
    "test_samples": 3,
    "coarse_samples": 1,
    "nll_samples": 16,
    "crop_size": 96,
    "search_area": 5.0,
    "precision": "fp32",
}


def tiny_study(monkeypatch, folder: Path, **changes) -> tuple[Workplace, study.StudySettings]:
    """Where and how: settings over `SIZES`, with a network of random weights."""
    recipe = tiny_recipe(monkeypatch)
    monkeypatch.setattr(study, "load_recipe", lambda names: recipe)
    path = folder / "network.safetensors"
    torch.manual_seed(0)
    save_network(path, recipe.network.build(), recipe.network)
    settings = study.StudySettings(**{**SIZES, "network": str(path), **changes})
    return Workplace(folder / "work", folder / "cache"), settings
