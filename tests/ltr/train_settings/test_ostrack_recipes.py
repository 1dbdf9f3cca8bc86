"""The recipes of OSTrack against docs/reference.md, section 10."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ltr.actors.tracking import make_actor
from ltr.errors import UserError
from ltr.models.tracking.ostrack import OSTrack, keep_ratio
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import Recipe, with_changes
from ltr.trainers.optimisation import make_optimiser, rate_factor

TOY = {"width": 24, "depth": 2, "heads": 3, "head_channels": 16}
ENERGY = {"ostrack_256_nceplus": "nceplus", "ostrack_256_nce": "nce", "ostrack_256_kldis": "kldis"}


def toy(name: str, *changes: str) -> Recipe:
    recipe = load_recipe([name])
    arguments = {**recipe.network.arguments, **TOY, "backbone_pretrained": False}
    recipe = replace(recipe, network=replace(recipe.network, arguments=arguments))
    return with_changes(recipe, list(changes))


def test_ostrack_has_the_values_of_the_facts_sheet() -> None:
    recipe = load_recipe(["ostrack_256"])
    data, crop, optimiser = recipe.data, recipe.crop, recipe.optimiser
    assert {source.name: source.split for source in data.train} == {
        "lasot": "train",
        "got10k": "vottrain",
        "coco": "train2017",
        "trackingnet": "all",
    }
    assert {source.weight for source in data.train} == {1.0}
    assert [(source.name, source.split) for source in data.validation] == [("got10k", "votval")]
    assert (data.samples_per_epoch, data.validation_samples, recipe.validation_interval) == (60000, 10000, 20)
    assert (data.train_frames, data.test_frames, data.max_gap, data.sampling_mode) == (1, 1, 200, "causal")
    assert (data.least_frames, data.least_visible, data.least_still_side) == (20, 5, 50)
    assert (crop.template_size, crop.template_area_factor) == (128, 2)
    assert (crop.output_size, crop.search_area_factor, crop.border) == (256, 4, "black")
    assert (crop.centre_jitter_train, crop.scale_jitter_train) == (0, 0)
    assert (crop.centre_jitter_test, crop.scale_jitter_test) == (3, 0.25)
    assert (crop.grayscale_probability, crop.flip_probability, crop.brightness_jitter) == (0.05, 0.5, 0.2)
    assert optimiser.learning_rates == {"box_head": 4e-4, "backbone": 4e-5}
    assert (optimiser.weight_decay, optimiser.max_gradient_norm) == (1e-4, 0.1)
    assert (recipe.epochs, recipe.batch_size, recipe.micro_batches, recipe.seed) == (300, 128, 4, 42)
    assert (recipe.precision, recipe.batch_norm, recipe.box, recipe.classifier) == ("fp32", "batch", None, None)
    assert recipe.network.arguments == {"backbone_pretrained": True, "candidate_elimination": True}
    factor = rate_factor(optimiser, recipe.epochs, steps_per_epoch=468)
    assert [round(factor(468 * epoch), 6) for epoch in (0, 239, 240, 299)] == [1, 1, 0.1, 0.1]


def test_the_recipe_for_got10k_has_the_values_of_the_facts_sheet() -> None:
    recipe, base = load_recipe(["ostrack_256_got10k"]), load_recipe(["ostrack_256"])
    assert [(source.name, source.split) for source in recipe.data.train] == [("got10k", "all")]
    assert [(source.name, source.split) for source in recipe.data.validation] == [("got10k", "official_val")]
    factor = rate_factor(recipe.optimiser, recipe.epochs, steps_per_epoch=468)
    assert [round(factor(468 * epoch), 6) for epoch in (0, 79, 80, 99)] == [1, 1, 0.1, 0.1]
    assert recipe.epochs == 100
    net = toy("ostrack_256_got10k").network.build()
    assert isinstance(net, OSTrack) and net.backbone.eliminates
    assert [round(keep_ratio(epoch, warm_up=net.elimination_warm_up), 6) for epoch in (19, 45, 70)] == [1, 0.85, 0.7]
    own = {"name", "network", "data", "optimiser", "epochs"}
    assert {key for key, value in base.to_dict().items() if recipe.to_dict()[key] != value} == own
    assert replace(recipe.data, train=base.data.train, validation=base.data.validation) == base.data
    assert replace(recipe.optimiser, decay_epochs=240) == base.optimiser


def test_weight_decay_is_that_of_adamw() -> None:
    recipe = toy("ostrack_256")
    net = recipe.network.build()
    optimiser = make_optimiser(net, recipe.optimiser)
    assert isinstance(optimiser, torch.optim.AdamW)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [1e-4, 1e-4]
    assert [group["betas"] for group in optimiser.param_groups] == [(0.9, 0.999)] * 2
    trained = sum(len(group["params"]) for group in optimiser.param_groups)
    # All but the class token and the embedding that nothing reads.
    assert trained == len(list(net.parameters())) - 2


@pytest.mark.parametrize(("name", "objective"), ENERGY.items())
def test_the_energies_learn_alone_on_a_tracker_without_elimination(name: str, objective: str) -> None:
    recipe, base = load_recipe([name]), load_recipe(["ostrack_256"])
    assert recipe.box is not None and recipe.box.objective == objective
    assert recipe.network.arguments == {"candidate_elimination": False}
    assert recipe.optimiser.learning_rates == {"bb_regressor": 1e-3}
    assert (recipe.data, recipe.crop) == (base.data, base.crop)


def test_settings_that_do_not_fit_the_network_are_refused() -> None:
    wrong_size = toy("ostrack_256", "crop.output_size=320")
    with pytest.raises(UserError, match="320 pixels do not fit"):
        make_actor(wrong_size, wrong_size.network.build())
    no_weights = toy("ostrack_256_nceplus")
    with pytest.raises(UserError, match="start=FILE"):
        make_actor(no_weights, no_weights.network.build())
    no_energy = replace(toy("ostrack_256_nceplus"), network=toy("ostrack_256").network)
    with pytest.raises(UserError, match="has box head settings, but its network has no box head"):
        make_actor(no_energy, no_energy.network.build())
    no_objective = replace(toy("ostrack_256"), network=toy("ostrack_256_nceplus").network)
    with pytest.raises(UserError, match="has no box head settings"):
        make_actor(no_objective, no_objective.network.build())
