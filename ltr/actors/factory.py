"""The actor that trains a recipe's network."""

from __future__ import annotations

from torch import nn

from ltr.actors.atom import AtomActor
from ltr.actors.base import Actor
from ltr.actors.dimp import DiMPActor
from ltr.errors import UserError
from ltr.models.bbreg.atom import AtomNet
from ltr.models.tracking.dimpnet import DiMPNet
from ltr.train_settings.recipe import Recipe


def make_actor(recipe: Recipe, net: nn.Module) -> Actor:
    """The actor of a recipe around its network.

    Args:
        net: from `recipe.network.build()`, on its device.

    Raises:
        ValueError: classifier settings for a network without a classifier or none for one that has it, a network of
            another kind, or settings that the actor refuses.
    """
    if isinstance(net, DiMPNet):
        if recipe.classifier is None:
            raise UserError(f"recipe '{recipe.name}' has no classifier settings, but its network has a classifier")
        return DiMPActor(net, recipe.box, recipe.classifier, recipe.precision)
    if isinstance(net, AtomNet):
        if recipe.classifier is not None:
            raise UserError(f"recipe '{recipe.name}' has classifier settings, but its network has no classifier")
        return AtomActor(net, recipe.box, recipe.precision)
    raise UserError(f"there is no actor for a {type(net).__name__}")
