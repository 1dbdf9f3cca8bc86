"""Smooth random motion: sums of slow waves, and affine placements made of them."""

from __future__ import annotations

import numpy as np

_WAVES = 3


def smooth_waves(
    rng: np.random.Generator, length: int, channels: int, amplitude: float, frequency: float
) -> np.ndarray:
    """Sums of three sine waves of random phase.

    Args:
        length: T frames.
        amplitude: largest value of the sum.
        frequency: highest, in waves a frame.

    Returns:
        [T, channels].
    """
    rates = rng.uniform(0.1, 1.0, (_WAVES, channels)) * frequency
    phases = rng.uniform(0, 2 * np.pi, (_WAVES, channels))
    shares = rng.dirichlet(np.ones(_WAVES), channels).T
    time = np.arange(length)[:, None, None]
    return amplitude * (shares * np.sin(2 * np.pi * rates * time + phases)).sum(axis=1)


def affine(
    size: tuple[int, int] | np.ndarray, centre: np.ndarray, zoom: np.ndarray, turn: np.ndarray, shear: np.ndarray
) -> np.ndarray:
    """Maps that put the middle of an image at a centre.

    Args:
        size: (width, height) of the image, or of a frame's each, [T, 2].
        centre: [T, 2] (x, y).
        zoom: [T, 2] along the image's axes, before the turn.
        turn: [T] radians.
        shear: [T], x moves by this much of y.

    Returns:
        [T, 2, 3], continuous image coordinates to continuous target coordinates.
    """
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.stack((np.stack((cos, -sin), -1), np.stack((sin, cos), -1)), axis=-2)
    slant = np.zeros((len(turn), 2, 2))
    slant[:, 0, 0] = slant[:, 1, 1] = 1
    slant[:, 0, 1] = shear
    linear = rotation @ slant * zoom[:, None, :]
    middle = np.array(size) / 2
    return np.concatenate((linear, centre[..., None] - linear @ middle[..., None]), axis=2)
