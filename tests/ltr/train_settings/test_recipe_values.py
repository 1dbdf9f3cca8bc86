"""Every recipe against docs/reference.md, section 3, written out here, and the documented table against the recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ltr.actors.iou_regression import BOX_METHODS
from ltr.ebm.methods import create_method
from ltr.run_training import load_recipe, recipes
from ltr.train_settings.recipe import ClassifierSettings, DataSource, Recipe

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "train_from_scratch.md"

# docs/reference.md, section 3, "Common".
COMMON: dict[str, Any] = {
    "train sets": {"lasot": "train", "got10k": "vottrain", "trackingnet": "0-3", "coco": "train2017"},
    "validation sets": {"got10k": "votval"},
    "epochs": 50,
    "schedule": ("step", 0.2, 15),
    "frames": (3, 3),
    "mode": "causal",
    "grayscale": 0.05,
    "brightness": 0.2,
    "flip": 0.0,
    "border": "replicate",
    "scale jitter": (0.25, 0.5),
    "precision": "fp32",
    "frozen": [],
}
DIMP: dict[str, Any] = {
    **COMMON,
    "samples": 26000,
    "search area, feature size": (5, 18),
    "centre jitter": (3, 4.5),
    "gap": 30,
    "box": ("iou", 8, (0.01, 0.05, 0.1, 0.2, 0.3), 0.1),
    "box weight": 1,
    "classifier": ("hinge", 0.05, 100, 100, 400),
    "rates": {
        "classifier.filter_initializer": 5e-5,
        "classifier.filter_optimizer": 5e-4,
        "classifier.feature_extractor": 5e-5,
        "bb_regressor": 1e-3,
        "feature_extractor": 2e-5,
    },
    "refinement": ("absolute", 5, 1, 1),
}
PRDIMP: dict[str, Any] = {
    **DIMP,
    "gap": 200,
    "box": ("kldis", 128, ((0.05, 0.05), (0.5, 0.5)), 0.05),
    "box weight": 0.0025,
    "classifier": ("kl", None, 0.25, 0.25, 1.0),
    "rates": {"classifier": 1e-3, "bb_regressor": 1e-3, "feature_extractor": 2e-5},
    "refinement": ("relative", 10, 2.5e-3, 1),
}
SUPER_DIMP: dict[str, Any] = {
    **DIMP,
    "batch": 20,
    "samples": 40000,
    "search area, feature size": (6, 22),
    "centre jitter": (3, 5.5),
    "border": ("inside_major", 1.5),
    "flip": 0.5,
    "gap": 200,
    "box": ("kldis", 128, ((0.05, 0.05), (0.5, 0.5)), 0.05),
    "box weight": 0.01,
    "rates": {
        "classifier.filter_initializer": 5e-5,
        "classifier.filter_optimizer": 5e-4,
        "classifier.feature_extractor": 5e-5,
        "bb_regressor": 1e-3,
        "feature_extractor.layer3": 2e-5,
    },
    "refinement": ("relative", 10, 2.5e-3, 1),
    "network": ("dimpnet50", 512),
    "frozen": ["conv1", "bn1", "layer1", "layer2"],
}
ATOM: dict[str, Any] = {
    **COMMON,
    "batch": 64,
    "samples": 64000,
    "search area, feature size": (5, 18),
    "centre jitter": (0, 4.5),
    "scale jitter": (0, 0.5),
    "gap": 50,
    # The published recipe names no number for ATOM; the paper trains on pairs.
    "frames": (1, 1),
    "box": ("iou", 16, (0.01, 0.05, 0.1, 0.2, 0.3), 0.1),
    "box weight": 1,
    "classifier": None,
    "rates": {"bb_regressor": 1e-3},
    "refinement": ("absolute", 5, 1, 1),
    "network": ("atom_resnet18", None),
}
MIXTURE = ((0.05, 0.05), (0.5, 0.5))
RELATIVE = {"refinement": ("relative", 10, 2.5e-3, 1)}

REFERENCE: dict[str, dict[str, Any]] = {
    "dimp18": {**DIMP, "batch": 26, "network": ("dimpnet18", 256)},
    "dimp50": {**DIMP, "batch": 10, "network": ("dimpnet50", 512)},
    "prdimp18": {**PRDIMP, "batch": 26, "network": ("klcedimpnet18", 256)},
    "prdimp50": {**PRDIMP, "batch": 10, "network": ("klcedimpnet50", 512)},
    "super_dimp": SUPER_DIMP,
    "dimp_kldis": SUPER_DIMP,
    "dimp_nce": {**SUPER_DIMP, "box": ("nce", 128, MIXTURE, None)},
    "dimp_nceplus": {**SUPER_DIMP, "box": ("nceplus", 128, MIXTURE, 0.1)},
    "atom": ATOM,
    "atom_mlis": {**ATOM, **RELATIVE, "box": ("mlis", 128, MIXTURE, None)},
    "atom_kldis": {**ATOM, **RELATIVE, "box": ("kldis", 128, MIXTURE, 0.05)},
    "atom_nceplus": {**ATOM, **RELATIVE, "box": ("nceplus", 128, MIXTURE, 0.1)},
}
LITE = {"dimp_iou_lite": "iou", "dimp_kldis_lite": "kldis", "dimp_nce_lite": "nce", "dimp_nceplus_lite": "nceplus"}


def splits(sources: tuple[DataSource, ...]) -> dict[str, str]:
    assert all(source.weight == 1 for source in sources)
    return {source.name: source.split for source in sources}


def objective(recipe: Recipe) -> tuple[Any, ...]:
    method: Any = create_method(recipe.box.objective, BOX_METHODS, **recipe.box.arguments)
    if recipe.box.objective == "iou":
        return ("iou", method.num_proposals, method.proposal_sigmas, method.min_iou)
    own = getattr(method, "label_sigma", getattr(method, "beta", None))
    return (recipe.box.objective, method.num_samples, method.noise_sigmas, own)


def classifier(settings: ClassifierSettings | None) -> tuple[Any, ...] | None:
    if settings is None:
        return None
    threshold = settings.hinge_threshold if settings.loss == "hinge" else None
    return (settings.loss, threshold, settings.final_weight, settings.initial_weight, settings.iteration_weight)


def values(recipe: Recipe) -> dict[str, Any]:
    """What the recipe says, under the names of docs/reference.md."""
    data, crop, optimiser, refinement = recipe.data, recipe.crop, recipe.optimiser, recipe.refinement
    border: Any = crop.border if crop.border == "replicate" else (crop.border, crop.max_scale_change)
    return {
        "train sets": splits(data.train),
        "validation sets": splits(data.validation),
        "epochs": recipe.epochs,
        "schedule": (optimiser.schedule, optimiser.decay, optimiser.decay_epochs),
        "frames": (data.train_frames, data.test_frames),
        "mode": data.sampling_mode,
        "grayscale": crop.grayscale_probability,
        "brightness": crop.brightness_jitter,
        "flip": crop.flip_probability,
        "border": border,
        "scale jitter": (crop.scale_jitter_train, crop.scale_jitter_test),
        "precision": recipe.precision,
        "frozen": recipe.network.arguments.get("frozen_backbone_layers", []),
        "batch": recipe.batch_size,
        "samples": data.samples_per_epoch,
        "search area, feature size": (crop.search_area_factor, crop.output_size / 16),
        "centre jitter": (crop.centre_jitter_train, crop.centre_jitter_test),
        "gap": data.max_gap,
        "box": objective(recipe),
        "box weight": recipe.box.weight,
        "classifier": classifier(recipe.classifier),
        "rates": optimiser.learning_rates,
        "refinement": (refinement.space, refinement.steps, refinement.step_length, refinement.decay),
        "network": (recipe.network.name, recipe.network.arguments.get("out_feature_dim")),
    }


@pytest.mark.parametrize("name", REFERENCE)
def test_a_recipe_has_the_values_of_the_specification(name):
    found = values(load_recipe([name]))
    assert found.keys() == REFERENCE[name].keys()
    for key, wanted in REFERENCE[name].items():
        assert found[key] == wanted, key


@pytest.mark.parametrize("name", REFERENCE)
def test_augmentation_and_sampling_that_the_specification_does_not_name_are_off(name):
    recipe = load_recipe([name])
    assert recipe.crop.joint_brightness_jitter == recipe.crop.blur_probability == 0
    assert recipe.optimiser.warmup_steps == recipe.optimiser.max_gradient_norm == 0
    assert recipe.network.arguments["backbone_pretrained"] is True


@pytest.mark.parametrize("name", [name for name in REFERENCE if not name.startswith("atom")])
def test_labels_and_the_first_filter_have_the_sigma_of_the_specification(name):
    """A quarter over the search area factor, of the crop's side for labels and in cells for the network."""
    recipe = load_recipe([name])
    area, cells = REFERENCE[name]["search area, feature size"]
    assert recipe.classifier is not None
    assert recipe.classifier.label_sigma_factor == pytest.approx(0.25 / area)
    key = "gauss_sigma" if name.startswith("prdimp") else "init_gauss_sigma"
    assert recipe.network.arguments[key] == pytest.approx(0.25 / area * cells)
    if name.startswith("prdimp"):
        assert recipe.network.arguments[key] == pytest.approx(0.9)


@pytest.mark.parametrize(("name", "objective"), LITE.items())
def test_the_compact_recipes_differ_by_the_objective_and_its_ascent_only(name, objective):
    recipe, base = load_recipe([name]).to_dict(), load_recipe(["dimp_nceplus_lite"]).to_dict()
    assert recipe["box"] == {"objective": objective, "arguments": {}, "weight": 1.0}
    assert {key for key in base if recipe[key] != base[key]} <= {"name", "box", "refinement"}


def test_every_recipe_is_compared():
    """Those of OSTrack in `test_ostrack_recipes`."""
    others = {name for name, module in recipes().items() if module.split(".")[-2] != "ostrack"}
    assert others == {*REFERENCE, *LITE}


def table() -> str:
    """The recipes as docs/train_from_scratch.md shows them."""
    heads = ("recipe", "network", "crop", "batch", "samples an epoch", "box head", "weight", "classifier", "trained")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, module in sorted(recipes().items(), key=lambda item: (item[1].split(".")[-2] != "dimp", item[0])):
        recipe = load_recipe([name])
        rates = recipe.optimiser.learning_rates
        parts = [part for part in rates if part.startswith("feature_extractor")]
        backbone = ", ".join(part.partition(".")[2] or "whole backbone" for part in parts)
        trained = ["box head"] if recipe.classifier is None else ["classifier", "box head"]
        if "backbone" in rates:
            trained = ["centre head", "transformer", *(["box head"] if recipe.box else [])]
        cells = (
            f"`{module.split('.')[-2]} {name}`",
            f"`{recipe.network.name}`",
            f"{recipe.crop.output_size} px, {recipe.crop.search_area_factor:g} x",
            str(recipe.batch_size),
            str(recipe.data.samples_per_epoch),
            "-" if recipe.box is None else f"`{recipe.box.objective}`, {objective(recipe)[1]}",
            "-" if recipe.box is None else f"{recipe.box.weight:g}",
            "-" if recipe.classifier is None else recipe.classifier.loss,
            ", ".join([*trained, *([backbone] if backbone else [])]),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_the_documented_table_is_that_of_the_code():
    assert table() in DOCUMENT.read_text(encoding="utf-8"), f"{DOCUMENT.name} must hold this table:\n\n{table()}"
