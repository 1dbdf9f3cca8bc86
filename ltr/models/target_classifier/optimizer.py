"""The filter optimisers of DiMP and PrDiMP: a few unrolled steepest-descent steps on a learned or KL loss.

Sources: Bhat et al., "Learning discriminative model prediction for tracking", ICCV 2019 (equations 3-7);
Danelljan et al., "Probabilistic regression for visual tracking", CVPR 2020 (section 4.2); docs/reference.md, section 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ltr.errors import UserError
from ltr.models.target_classifier.filter import FEATURE_STRIDE, apply_filter, apply_filter_transpose

_MIN_REG = 1e-3
_MIN_DENOMINATOR = 1e-8


def target_centres(boxes: Tensor, feature_stride: int, filter_size: int) -> Tensor:
    """Centres of the boxes on the score map, in cells.

    Args:
        boxes: [..., 4] (x, y, w, h) in crop pixels.
        feature_stride: pixels a cell.
        filter_size: an odd filter shifts the map by half a cell.

    Returns:
        [..., 2] (row, column).
    """
    centres = (boxes[..., :2] + boxes[..., 2:] / 2).flip(-1) / feature_stride
    return centres - 0.5 if filter_size % 2 == 1 else centres


def distance_map(centres: Tensor, height: int, width: int) -> Tensor:
    """Euclidean distance of every cell of a map from a centre. centres: [..., 2] (row, column) -> [..., H, W]."""
    rows = torch.arange(height, dtype=centres.dtype, device=centres.device)
    cols = torch.arange(width, dtype=centres.dtype, device=centres.device)
    down = rows[:, None] - centres[..., 0, None, None]
    right = cols[None, :] - centres[..., 1, None, None]
    return torch.sqrt(down.square() + right.square())


class DistanceFunction(nn.Conv2d):
    """A learned radial function: linear interpolation of `num_bins` values, the last bin saturating.

    It is a 1x1 convolution over the interpolation weights, and is stored as one, but reads the two values that a
    distance lies between instead of building a map of `num_bins` channels.
    """

    def __init__(self, initial: Tensor) -> None:
        super().__init__(initial.numel(), 1, kernel_size=1, bias=False)
        self.weight.data.copy_(initial.reshape(1, -1, 1, 1))

    def forward(self, input: Tensor) -> Tensor:
        """Values at distances. input: [...] in bins -> [...]."""
        values = self.weight.reshape(-1)
        last = values.numel() - 1
        position = input.clamp(max=last)
        below = position.floor().clamp(max=last - 1)
        index = below.long()
        fraction = position - below
        return values[index] * (1 - fraction) + values[index + 1] * fraction


class SteepestDescentGN(nn.Module):
    """DiMP's optimiser: Gauss-Newton steepest descent on ||v (act(s; m) - y)||^2 + lambda^2 ||w||^2.

    The label y, the target mask m and the weight v are learned functions of the distance from the target's centre.

    Args:
        num_iter: iterations when the call does not say.
        init_step_length: exp of the learned log step length at the start.
        init_filter_reg: lambda at the start; lambda^2 is held above 1e-6.
        init_gauss_sigma: sigma of the initial label, in cells.
        num_dist_bins, bin_displacement: the distance functions' resolution (bins, cells a bin).
        mask_init_factor: slope of the initial mask, mask_init_factor * tanh(2 - d) before its activation.
        target_mask_act: 'sigmoid' or 'linear'.
        score_act: 'relu'; other activations are not part of the public trackers.
    """

    def __init__(
        self,
        *,
        num_iter: int = 5,
        filter_size: int = 4,
        init_step_length: float = 0.9,
        init_filter_reg: float = 0.1,
        init_gauss_sigma: float = 1.0,
        num_dist_bins: int = 100,
        bin_displacement: float = 0.1,
        mask_init_factor: float = 3.0,
        target_mask_act: str = "sigmoid",
        score_act: str = "relu",
    ) -> None:
        super().__init__()
        if score_act != "relu":
            raise UserError(f"score_act must be 'relu', not '{score_act}'")
        if target_mask_act not in ("sigmoid", "linear"):
            raise UserError(f"target_mask_act must be 'sigmoid' or 'linear', not '{target_mask_act}'")
        self.num_iter = num_iter
        self.filter_size = filter_size
        self.bin_displacement = bin_displacement
        self.log_step_length = nn.Parameter(torch.tensor([math.log(init_step_length)]))
        self.filter_reg = nn.Parameter(torch.tensor([float(init_filter_reg)]))
        distance = torch.arange(num_dist_bins, dtype=torch.float32) * bin_displacement
        if init_gauss_sigma == 0:
            label = torch.zeros_like(distance)
            label[0] = 1.0
        else:
            label = torch.exp(-0.5 * (distance / init_gauss_sigma).square())
        self.label_map_predictor = DistanceFunction(label - label.min())
        mask = DistanceFunction(mask_init_factor * torch.tanh(2.0 - distance))
        activation = [nn.Sigmoid()] if target_mask_act == "sigmoid" else []
        self.target_mask_predictor = nn.Sequential(mask, *activation)
        self.spatial_weight_predictor = DistanceFunction(torch.ones_like(distance))

    def forward(
        self,
        filters: Tensor,
        features: Tensor,
        boxes: Tensor,
        sample_weight: Tensor | None = None,
        num_iter: int | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Improve the filters.

        Args:
            filters: [S, C, K, K], the start.
            features: [n, S, C, H, W].
            boxes: [n, S, 4] (x, y, w, h) in crop pixels.
            sample_weight: [n, S], or None for 1 / n each.
            num_iter: steps to take.

        Returns:
            The last filters [S, C, K, K], and all iterates with the start first (num_iter + 1).
        """
        frames, sequences = features.shape[:2]
        steps = self.num_iter if num_iter is None else num_iter
        height, width = (size + (self.filter_size + 1) % 2 for size in features.shape[-2:])
        centres = target_centres(boxes.reshape(frames, sequences, 4), FEATURE_STRIDE, self.filter_size)
        bins = distance_map(centres, height, width) / self.bin_displacement
        label = self.label_map_predictor(bins)
        mask = self.target_mask_predictor(bins)
        weight = self.spatial_weight_predictor(bins)
        if sample_weight is None:
            weight = weight * math.sqrt(1.0 / frames)
        else:
            weight = weight * sample_weight.reshape(frames, sequences, 1, 1).sqrt()
        reg = self.filter_reg.square().clamp(min=_MIN_REG**2)
        step = self.log_step_length.exp()
        even, odd = (1 - mask) / 2, (1 + mask) / 2

        iterates, scores = [filters], apply_filter(features, filters)
        for _ in range(steps):
            slope = weight * (even * torch.sign(scores) + odd)
            residual = weight * (even * scores.abs() + odd * scores - label)
            gradient = apply_filter_transpose(features, slope * residual, self.filter_size) + reg * filters
            along = apply_filter(features, gradient)
            squared = gradient.square().sum(dim=(1, 2, 3))
            curvature = (slope * along).square().sum(dim=(0, 2, 3)) + reg * squared
            length = step * squared / curvature.clamp(min=_MIN_DENOMINATOR)
            filters = filters - length[:, None, None, None] * gradient
            # They are linear in the filter.
            scores = scores - length[:, None, None] * along
            iterates.append(filters)
        return filters, iterates


class SteepestDescentNewton(nn.Module):
    """PrDiMP's optimiser: steepest descent with Newton's Hessian on the KL divergence from the label density.

    Args:
        gauss_sigma: sigma of the label density, in cells.
        min_filter_reg: lambda is held above it.
        alpha_eps: added to lambda^2 in the step length's denominator.
        normalize_label: the label density sums to 1 over the map.
    """

    def __init__(
        self,
        *,
        num_iter: int = 5,
        filter_size: int = 4,
        init_step_length: float = 1.0,
        init_filter_reg: float = 0.05,
        gauss_sigma: float = 0.9,
        min_filter_reg: float = 0.05,
        alpha_eps: float = 0.05,
        normalize_label: bool = True,
    ) -> None:
        super().__init__()
        self.num_iter = num_iter
        self.filter_size = filter_size
        self.gauss_sigma = gauss_sigma
        self.min_filter_reg = min_filter_reg
        self.alpha_eps = alpha_eps
        self.normalize_label = normalize_label
        self.log_step_length = nn.Parameter(torch.tensor([math.log(init_step_length)]))
        self.filter_reg = nn.Parameter(torch.tensor([float(init_filter_reg)]))

    def label_density(self, centres: Tensor, height: int, width: int) -> Tensor:
        """Gaussian label density. centres: [n, S, 2] (row, column) in cells -> [n, S, H, W]."""
        exponent = -0.5 * (distance_map(centres, height, width) / self.gauss_sigma).square()
        if self.normalize_label:
            return torch.softmax(exponent.flatten(-2), dim=-1).reshape(exponent.shape)
        return exponent.exp() / (2 * math.pi * self.gauss_sigma**2)

    def forward(
        self,
        filters: Tensor,
        features: Tensor,
        boxes: Tensor,
        sample_weight: Tensor | None = None,
        num_iter: int | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Improve the filters; arguments and result as for `SteepestDescentGN`."""
        frames, sequences = features.shape[:2]
        steps = self.num_iter if num_iter is None else num_iter
        height, width = (size + (self.filter_size + 1) % 2 for size in features.shape[-2:])
        centres = target_centres(boxes.reshape(frames, sequences, 4), FEATURE_STRIDE, self.filter_size)
        label = self.label_density(centres, height, width)
        if sample_weight is None:
            weight = features.new_full((1, 1, 1, 1), 1.0 / frames)
        else:
            weight = sample_weight.reshape(frames, sequences, 1, 1)
        reg = self.filter_reg.square().clamp(min=self.min_filter_reg**2)
        step = self.log_step_length.exp()

        iterates, scores = [filters], apply_filter(features, filters)
        for _ in range(steps):
            density = torch.softmax(scores.flatten(-2), dim=-1).reshape(scores.shape)
            gradient = apply_filter_transpose(features, weight * (density - label), self.filter_size) + reg * filters
            along = apply_filter(features, gradient)
            mean = (density * along).sum(dim=(-2, -1), keepdim=True)
            squared = gradient.square().sum(dim=(1, 2, 3))
            curvature = (weight * density * along * (along - mean)).sum(dim=(0, 2, 3))
            curvature = curvature.clamp(min=0) + (reg + self.alpha_eps) * squared
            length = step * squared / curvature.clamp(min=_MIN_DENOMINATOR)
            filters = filters - length[:, None, None, None] * gradient
            scores = scores - length[:, None, None] * along
            iterates.append(filters)
        return filters, iterates
