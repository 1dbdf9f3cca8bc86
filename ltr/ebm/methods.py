"""The registry of training methods: their settings, how they draw points around an annotation, their loss.

A method knows nothing of images or boxes: it sees an energy over points in the density's space. The tracker, the
1-D study and the detection study train by the same classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from ltr.ebm import objectives
from ltr.ebm.ascent import langevin
from ltr.ebm.density import effective_sample_size
from ltr.ebm.noise import GaussianMixture
from ltr.errors import UserError, check_names

Energy = Callable[[Tensor], Tensor]
# One figure for all dimensions, (centre, size) for boxes, or one figure for each dimension.
Sigma = float | Sequence[float]


@dataclass(frozen=True)
class MethodOutput:
    """The loss [B] of every image, with its graph, and detached scalar statistics by name."""

    loss: Tensor
    statistics: dict[str, Tensor]


class Method(Protocol):
    """What the registry holds.

    A method whose loss has the gradient of f in the points in it, or that moves points along it, says so by a class
    attribute `follows_gradient = True`: f must then score each point by itself, without a look at the others.
    """

    def loss(self, energy: Energy, annotation: Tensor, generator: torch.Generator | None = None) -> MethodOutput:
        """Loss of a batch.

        Args:
            energy: scores f [B, M] of points [B, M, D] in the density's space.
            annotation: [B, D], on the device where the points are drawn.
            generator: on the same device.
        """


def expand_sigma(sigma: Sigma, dimensions: int) -> tuple[float, ...]:
    """One standard deviation per dimension.

    Args:
        sigma: one for all, (centre, size) where `dimensions` is 4, or one each.

    Raises:
        ValueError: any other number of them.
    """
    given = tuple(sigma) if isinstance(sigma, Sequence) else (sigma,)
    if len(given) == dimensions:
        return given
    if len(given) == 1:
        return given * dimensions
    if len(given) == 2 and dimensions == 4:
        return (given[0], given[0], given[1], given[1])
    raise UserError(f"{len(given)} sigmas {given} do not fit a space of {dimensions} dimensions")


def mixture(sigmas: Iterable[Sigma], like: Tensor) -> GaussianMixture:
    """The mixture with a component for each of `sigmas` over the space of `like` [B, D], in its type and place."""
    rows = [expand_sigma(sigma, like.shape[-1]) for sigma in sigmas]
    dtype = torch.promote_types(like.dtype, torch.float32)
    return GaussianMixture(torch.tensor(rows, dtype=dtype)).to(like.device)


def _score(energy: Energy, points: Tensor) -> Tensor:
    scores = energy(points)
    if scores.shape != points.shape[:2]:
        raise UserError(f"the energy gave scores {list(scores.shape)} for points {list(points.shape)}")
    return scores


def _require_positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        figures = value if isinstance(value, Sequence) else (value,)
        flat = [each for figure in figures for each in (figure if isinstance(figure, Sequence) else (figure,))]
        if not flat or not all(figure > 0 for figure in flat):
            raise UserError(f"{name} of {type(owner).__name__} must be positive, not {value}")


@dataclass(frozen=True)
class _NoiseSampling:
    """Samples from a mixture around the annotation.

    Attributes:
        noise_sigmas: standard deviations, one entry per component: a figure, (centre, size), or one per dimension.
        num_samples: M.
        share_noise: draw the offsets once and use them for every element of the batch.
    """

    noise_sigmas: Sequence[Sigma] = ((0.05, 0.05), (0.5, 0.5))
    num_samples: int = 128
    share_noise: bool = False

    def __post_init__(self) -> None:
        _require_positive(self, "noise_sigmas", "num_samples")

    def draw(self, annotation: Tensor, generator: torch.Generator | None) -> tuple[GaussianMixture, Tensor, Tensor]:
        """The mixture, offsets [B, M, D] from it, and their log densities [B, M]."""
        noise = mixture(self.noise_sigmas, annotation)
        batch = len(annotation)
        offsets = noise.sample((1 if self.share_noise else batch, self.num_samples), generator)
        log_noise = noise.log_prob(offsets)
        return noise, offsets.expand(batch, -1, -1), log_noise.expand(batch, -1)


def _around(annotation: Tensor, offsets: Tensor) -> Tensor:
    return annotation.unsqueeze(1) + offsets


def _score_with_positive(energy: Energy, positive: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Scores [B] of positives [B, D] and [B, M] of points [B, M, D] from one evaluation."""
    scores = _score(energy, torch.cat((positive.unsqueeze(1), points), dim=1))
    return scores[:, 0], scores[:, 1:]


@torch.no_grad()
def _sampling_statistics(positive_score: Tensor, scores: Tensor, log_noise: Tensor) -> dict[str, Tensor]:
    """The positive's margin over the mean sample, and how many samples the model's importance weights rest on."""
    return {
        "margin": (positive_score - scores.mean(-1)).mean(),
        "effective_samples": effective_sample_size(scores - log_noise).mean(),
    }


@dataclass(frozen=True)
class MLIS(_NoiseSampling):
    """Maximum likelihood by importance sampling."""

    def loss(self, energy: Energy, annotation: Tensor, generator: torch.Generator | None = None) -> MethodOutput:
        """See `Method`."""
        _, offsets, log_noise = self.draw(annotation, generator)
        positive, scores = _score_with_positive(energy, annotation, _around(annotation, offsets))
        loss = objectives.ml_is(positive, scores, log_noise)
        return MethodOutput(loss, _sampling_statistics(positive, scores, log_noise))


@dataclass(frozen=True)
class KLDIS(_NoiseSampling):
    """KL divergence to a Gaussian label density by importance sampling (as the public super_dimp).

    Attributes:
        label_sigma: standard deviation of the label density: a figure, (centre, size), or one per dimension.
    """

    label_sigma: Sigma = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_positive(self, "label_sigma")

    def loss(self, energy: Energy, annotation: Tensor, generator: torch.Generator | None = None) -> MethodOutput:
        """See `Method`. The annotation is not scored: in the statistics the sample nearest to it stands for it."""
        _, offsets, log_noise = self.draw(annotation, generator)
        log_label = mixture([self.label_sigma], annotation).log_prob(offsets)
        scores = _score(energy, _around(annotation, offsets))
        loss = objectives.kld_is(scores, log_noise, log_label)
        nearest = scores.gather(1, log_label.argmax(1, keepdim=True)).squeeze(1)
        return MethodOutput(loss, _sampling_statistics(nearest, scores, log_noise))


def _contrast(
    energy: Energy, annotation: Tensor, positive_offset: Tensor, drawn: tuple[GaussianMixture, Tensor, Tensor]
) -> MethodOutput:
    noise, offsets, log_noise = drawn
    positive_log_noise = noise.log_prob(positive_offset)
    positive, scores = _score_with_positive(energy, annotation + positive_offset, _around(annotation, offsets))
    loss = objectives.nce(positive, positive_log_noise, scores, log_noise)
    statistics = _sampling_statistics(positive, scores, log_noise)
    with torch.no_grad():
        recognised = (positive - positive_log_noise) > (scores - log_noise).amax(-1)
        statistics["accuracy"] = recognised.to(loss.dtype).mean()
    return MethodOutput(loss, statistics)


@dataclass(frozen=True)
class NCE(_NoiseSampling):
    """Noise contrastive estimation with the annotation as the positive."""

    def loss(self, energy: Energy, annotation: Tensor, generator: torch.Generator | None = None) -> MethodOutput:
        """See `Method`."""
        return _contrast(energy, annotation, torch.zeros_like(annotation), self.draw(annotation, generator))


@dataclass(frozen=True)
class NCEPlus(_NoiseSampling):
    """NCE with a noisy positive, annotation + nu, which accounts for inaccurate annotations.

    nu is drawn from the noise with every sigma multiplied by beta, for every element of the batch on its own.

    Attributes:
        beta: in [0, 1]; 0 is NCE.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.beta <= 1:
            raise UserError(f"beta of NCEPlus must lie in [0, 1], not {self.beta}")

    def loss(self, energy: Energy, annotation: Tensor, generator: torch.Generator | None = None) -> MethodOutput:
        """See `Method`."""
        drawn = self.draw(annotation, generator)
        offset = self.beta * drawn[0].sample((len(annotation),), generator)
        return _contrast(energy, annotation, offset, drawn)


@dataclass(frozen=True)
class MLMCMC:
    """Maximum likelihood with Langevin chains that start at the annotation.

    Attributes:
        num_samples: M chains.
        steps: L.
        step_length: a, of every dimension: a figure, (centre, size), or one per dimension.
    """

    follows_gradient: ClassVar[bool] = True
    num_samples: int = 128
    steps: int = 8
    step_length: Sigma = 1e-5

    def __post_init__(self) -> None:
        _require_positive(self, "num_samples", "steps", "step_length")

    def loss(self, energy: Energy, annotation: Tensor, generator: torch.Generator | None = None) -> MethodOutput:
        """See `Method`."""
        start = annotation.unsqueeze(1).expand(-1, self.num_samples, -1)
        step_length = annotation.new_tensor(expand_sigma(self.step_length, annotation.shape[-1]))
        points = langevin(energy, start, steps=self.steps, step_length=step_length, generator=generator)
        positive, scores = _score_with_positive(energy, annotation, points)
        loss = objectives.ml_mcmc(positive, scores)
        with torch.no_grad():
            distance = (points - start).norm(dim=-1).mean()
        return MethodOutput(loss, {"margin": -loss.detach().mean(), "chain_distance": distance})


@dataclass(frozen=True)
class SM:
    """Score matching at the annotation; the energy must be differentiable twice in the points, and once more.

    It and DSM take gradients in the points inside `torch.no_grad` too.
    """

    follows_gradient: ClassVar[bool] = True

    @torch.enable_grad()
    def loss(self, energy: Energy, annotation: Tensor, generator: torch.Generator | None = None) -> MethodOutput:
        """See `Method`. Nothing is drawn."""
        points = annotation.detach().unsqueeze(1).requires_grad_()
        gradient = _gradient(energy, points)
        trace = gradient.new_zeros(len(points))
        for dimension in range(points.shape[-1]):
            (row,) = torch.autograd.grad(
                gradient[..., dimension].sum(), points, create_graph=True, materialize_grads=True
            )
            trace = trace + row[:, 0, dimension]
        loss = objectives.score_matching(gradient[:, 0], trace)
        statistics = {"gradient_norm": _mean_norm(gradient), "hessian_trace": trace.detach().mean()}
        return MethodOutput(loss, statistics)


@dataclass(frozen=True)
class DSM:
    """Denoising score matching.

    Attributes:
        sigma: standard deviation of the noise added to the annotation: a figure, (centre, size), or one per dimension.
        num_samples: M.
        share_noise: draw the offsets once and use them for every element of the batch.
    """

    follows_gradient: ClassVar[bool] = True
    sigma: Sigma = 0.075
    num_samples: int = 128
    share_noise: bool = False

    def __post_init__(self) -> None:
        _require_positive(self, "sigma", "num_samples")

    @torch.enable_grad()
    def loss(self, energy: Energy, annotation: Tensor, generator: torch.Generator | None = None) -> MethodOutput:
        """See `Method`."""
        noise = mixture([self.sigma], annotation)
        batch = len(annotation)
        offsets = noise.sample((1 if self.share_noise else batch, self.num_samples), generator).expand(batch, -1, -1)
        points = _around(annotation.detach(), offsets).requires_grad_()
        gradient = _gradient(energy, points)
        loss = objectives.dsm(gradient, offsets, noise.sigmas[0])
        return MethodOutput(loss, {"gradient_norm": _mean_norm(gradient)})


def _gradient(energy: Energy, points: Tensor) -> Tensor:
    """Gradient [B, M, D] of f in the points, itself differentiable."""
    (gradient,) = torch.autograd.grad(_score(energy, points).sum(), points, create_graph=True)
    return gradient


def _mean_norm(gradient: Tensor) -> Tensor:
    return gradient.detach().norm(dim=-1).mean()


METHODS: dict[str, type[Method]] = {
    "mlis": MLIS,
    "kldis": KLDIS,
    "nce": NCE,
    "nceplus": NCEPlus,
    "mlmcmc": MLMCMC,
    "sm": SM,
    "dsm": DSM,
}


def create_method(name: str, registry: Mapping[str, type[Method]] = METHODS, /, **settings: Any) -> Method:
    """The training method `name` with its defaults, those of the paper's trackers, but for `settings`.

    >>> create_method("nceplus", beta=0.025).beta
    0.025

    Raises:
        ValueError: an unknown method or setting (the nearest is named), or a value out of its range.
    """
    check_names("training method", [name], registry)
    method = registry[name]
    known = [field.name for field in dataclasses.fields(method)]  # type: ignore[arg-type]
    check_names(f"setting of {name}", settings, known)
    return method(**settings)
