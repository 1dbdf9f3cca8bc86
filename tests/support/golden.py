"""Golden numbers: where they lie, and the rule that fills a network's weights for them without a weight file."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

DATA = Path(__file__).resolve().parents[1] / "data"


def load_golden(name: str) -> dict[str, np.ndarray]:
    """The arrays of `tests/data/<name>.npz`."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def value_by_rule(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float64 value that the golden rule gives the parameter or buffer `name` (docs/reference.md, section 2)."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape)
    if name.endswith("running_var"):
        return generator.uniform(0.5, 1.5, shape)
    if name.endswith(("running_mean", "bias")):
        return 0.1 * generator.standard_normal(shape)
    if len(shape) == 1:
        return generator.uniform(0.5, 1.5, shape)
    return generator.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))


def fill_by_rule(net: nn.Module) -> nn.Module:
    """Fill `net` in place by the golden rule and put it in eval mode; returns it.

    Names containing `filter_optimizer` keep the value that the constructor gave them.
    """
    filled = {
        name: tensor
        if "filter_optimizer" in name
        else torch.from_numpy(np.asarray(value_by_rule(name, tuple(tensor.shape)))).to(tensor.dtype)
        for name, tensor in net.state_dict().items()
    }
    net.load_state_dict(filled, strict=True)
    return net.eval()
