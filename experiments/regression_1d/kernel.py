"""The network's y-half compiled from kernel.cpp: equal to `network.score` to rounding, several times as fast.

Needs a C++ compiler (`$CXX`, else g++ or clang++), which `experiments.regression_1d` does without where there is none.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from experiments.regression_1d.network import WIDTH, Y_COUNT
from ltr.admin.files import whole_file
from ltr.admin.paths import cache_folder
from ltr.errors import UserError

SOURCE = Path(__file__).with_name("kernel.cpp")
FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")


class KernelError(UserError, RuntimeError):
    """The kernel cannot be compiled here; the message says why in one line."""


def compiler() -> str:
    """The C++ compiler's path.

    Raises:
        KernelError: none is found.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise KernelError(f"no C++ compiler found (looked for {', '.join(names)}; $CXX names another)")


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled kernel, compiled at first use (a second or two) and kept by its source, compiler and machine.

    Raises:
        KernelError: no compiler, or it fails.
    """
    command = [compiler(), *FLAGS]
    key = "\0".join([SOURCE.read_text(encoding="utf-8"), *command, platform.machine(), _processor()])
    target = cache_folder() / f"regression_1d-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    try:
        if not target.is_file():
            with whole_file(target) as temporary:
                subprocess.run(
                    [*command, "-o", str(temporary), str(SOURCE)], check=True, capture_output=True, text=True
                )
        found = ctypes.CDLL(str(target))
    except subprocess.CalledProcessError as error:
        first = next((line for line in error.stderr.splitlines() if line.strip()), f"exit status {error.returncode}")
        raise KernelError(f"{command[0]} could not compile {SOURCE.name}: {first}") from error
    except OSError as error:
        raise KernelError(f"the compiled kernel {target} cannot be used: {error}") from error
    found.score_forward.argtypes = [*[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 2]
    for backward in (found.score_backward, found.slope_backward):
        backward.argtypes = [*[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 3]
    return found


def _processor() -> str:
    """A home folder may be shared by machines with other instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def _checked(base: Tensor, points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows = len(points)
    shapes_fit = base.shape == (rows, WIDTH) and points.dim() == 2 and weights.shape == (Y_COUNT,)
    if not shapes_fit or any(part.dtype != torch.float32 or part.is_cuda for part in (base, points, weights)):
        parts = ", ".join(f"{list(part.shape)} {part.dtype} on {part.device}" for part in (base, points, weights))
        raise ValueError(f"the kernel takes float32 [B, {WIDTH}], [B, M] and [{Y_COUNT}] on the CPU, not {parts}")
    return base.contiguous(), points.contiguous(), weights.contiguous()


def _forward(base: Tensor, points: Tensor, weights: Tensor, slopes: Tensor | None = None) -> Tensor:
    """f [B, M]; fills `slopes` [B, M], if it is given, with df/dy."""
    base, points, weights = _checked(base, points, weights)
    scores = torch.empty_like(points)
    filled = None if slopes is None else slopes.data_ptr()
    inputs = (weights.data_ptr(), base.data_ptr(), points.data_ptr())
    library().score_forward(*inputs, *points.shape, scores.data_ptr(), filled)
    return scores


def _backward(name: str, saved: tuple[Tensor, ...], gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if torch.is_grad_enabled():
        raise RuntimeError(f"the kernel's {name} is not differentiable once more; network.score is")
    base, points, weights = _checked(*saved)
    gradient = gradient.contiguous()
    of_base, of_points, of_weights = torch.empty_like(base), torch.empty_like(points), torch.empty_like(weights)
    inputs = (weights.data_ptr(), base.data_ptr(), points.data_ptr(), gradient.data_ptr())
    outputs = (of_weights.data_ptr(), of_base.data_ptr(), of_points.data_ptr())
    getattr(library(), f"{name}_backward")(*inputs, *points.shape, *outputs)
    return of_base, of_points, of_weights


class _Score(Function):
    """f [B, M]."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, points: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(base, points, weights)
        return _forward(base, points, weights)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _backward("score", ctx.saved_tensors, gradient)


class _ScoreOfPoints(Function):
    """f [B, M], to be differentiated in the points first; that gradient has gradients in everything."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, points: Tensor, weights: Tensor) -> Tensor:
        slopes = torch.empty(points.shape)
        scores = _forward(base, points, weights, slopes)
        ctx.save_for_backward(base, points, weights)
        ctx.slopes = slopes
        return scores

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        return None, gradient * _Slope.apply(*ctx.saved_tensors, ctx.slopes), None


class _Slope(Function):
    """df/dy [B, M], which was found with f."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, points: Tensor, weights: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(base, points, weights)
        return slopes.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        return (*_backward("slope", ctx.saved_tensors, gradient), None)


def score(base: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    """`network.score` for float32 on the CPU.

    Where the points require a gradient, f is differentiable in them alone, and that gradient once more in everything:
    what Langevin chains and DSM ask for. SM, which asks for a third time, needs `network.score`.

    Args:
        base: [B, H].
        points: [B, M], y.
        weights: [P'].

    Returns:
        [B, M].

    Raises:
        ValueError: another type, shape or device.
        KernelError: it cannot be compiled.
        RuntimeError: from the backward pass, when it is to be differentiated once more.
    """
    kind = _ScoreOfPoints if points.requires_grad else _Score
    return kind.apply(base, points, weights)
