"""What differs between machines and launches, and does not decide the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from ltr.errors import UserError


@dataclass(frozen=True)
class RunSettings:
    """How a recipe is run here.

    Attributes:
        workspace: checkpoints and logs go to `<workspace>/<recipe name>`; with several machines, a shared folder.
        device: 'cpu', 'cuda', ...; by default CUDA where there is one. With several processes, each takes its own GPU.
        num_workers: data loading processes, of each training process.
        keep: training checkpoints kept besides the best, the oldest go first.
        checkpoint_interval: steps between checkpoints inside an epoch; 0 saves at the ends of epochs only.
        log_interval: steps between lines of the log.
        fresh: start anew although there is a checkpoint; the earlier run is kept under another name.
        compile: run the convolutional parts through torch.compile.
    """

    workspace: Path = field(default_factory=lambda: Path("workspace"))
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")
    num_workers: int = 2
    keep: int = 3
    checkpoint_interval: int = 500
    log_interval: int = 20
    fresh: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        for name, least in (("num_workers", 0), ("keep", 1), ("checkpoint_interval", 0), ("log_interval", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} must be at least {least}, not {getattr(self, name)}")
