"""The errors of everything that reads or writes networks."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A file that is not a checkpoint, or does not fit its network. The message names the file and what to do."""


class PretrainedWeightsError(RuntimeError):
    """ImageNet weights that cannot be had or do not fit. The message says where to get them and put them."""
