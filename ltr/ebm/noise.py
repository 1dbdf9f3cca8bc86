"""Noise distributions around an annotation: equally weighted mixtures of axis-aligned zero-mean Gaussians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltr.errors import UserError


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """p(v) = 1/K sum_k N(v; 0, diag(sigmas[k]^2)), the density of offsets v from an annotation.

    Source: docs/reference.md, section 1.

    Args:
        sigmas: [K, D] standard deviations, a row per component.

    Raises:
        ValueError: `sigmas` not of shape [K, D], or not finite and positive.
    """

    sigmas: Tensor

    def __post_init__(self) -> None:
        if self.sigmas.dim() != 2 or self.sigmas.numel() == 0 or not self.sigmas.is_floating_point():
            raise UserError(f"sigmas must be floats of shape [K, D], not {list(self.sigmas.shape)}")
        if self.sigmas.device.type == "cpu" and not (self.sigmas.isfinite() & (self.sigmas > 0)).all():
            raise UserError(f"sigmas must be finite and positive, not {self.sigmas.tolist()}")

    @classmethod
    def from_centre_size(
        cls, pairs: Sequence[tuple[float, float]], dtype: torch.dtype = torch.float32
    ) -> GaussianMixture:
        """A mixture over boxes (D = 4) from (sigma of the centre, sigma of the size) of each component.

        >>> GaussianMixture.from_centre_size([(0.05, 0.05), (0.5, 0.5)]).sigmas.shape
        torch.Size([2, 4])
        """
        return cls(torch.tensor([(centre, centre, size, size) for centre, size in pairs], dtype=dtype))

    @property
    def dimensions(self) -> int:
        """D, the dimension of an offset."""
        return self.sigmas.shape[1]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> GaussianMixture:
        """The mixture on a device, in a floating type."""
        return GaussianMixture(self.sigmas.to(device=device, dtype=dtype))

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Independent offsets [*shape, D] around zero, of the type and on the device of `sigmas`.

        Args:
            generator: on that device; the device's default generator without it.
        """
        sigmas = self.sigmas
        component = torch.randint(len(sigmas), shape, generator=generator, device=sigmas.device)
        normal = torch.randn((*shape, self.dimensions), generator=generator, device=sigmas.device, dtype=sigmas.dtype)
        return normal * sigmas[component]

    def log_prob(self, offsets: Tensor) -> Tensor:
        """Log density [...] of offsets [..., D], finite however far out."""
        sigmas = self.sigmas.to(device=offsets.device, dtype=offsets.dtype)
        normal = offsets.unsqueeze(-2) / sigmas
        log_normaliser = sigmas.log().sum(-1) + 0.5 * self.dimensions * math.log(2 * math.pi)
        log_components = -0.5 * normal.square().sum(-1) - log_normaliser
        return torch.logsumexp(log_components, dim=-1) - math.log(len(sigmas))
