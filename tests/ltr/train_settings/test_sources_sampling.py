"""A recipe's sampling settings reach its sampler."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_training import tiny_recipe

from ltr.trainers.run import make_sampler


def test_the_sampling_mode_reaches_the_sampler(monkeypatch):
    recipe = tiny_recipe(monkeypatch)
    modes = {}
    for mode in ("causal", "interval"):
        changed = replace(recipe, data=replace(recipe.data, sampling_mode=mode))
        modes[mode] = make_sampler(changed, changed.data.train, 4, 0).choose
    assert modes["causal"] is not modes["interval"]
    with pytest.raises(ValueError, match="'causal' or 'interval', not 'casual'"):
        make_sampler(replace(recipe, data=replace(recipe.data, sampling_mode="casual")), recipe.data.train, 4, 0)
