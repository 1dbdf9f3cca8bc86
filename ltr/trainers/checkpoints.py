"""The checkpoints of a run's folder: which there are, the newest that can be read, and which to delete."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ltr.admin.checkpoint import CheckpointError, load_training_state

_PATTERN = "checkpoint_" + "[0-9]" * 8 + ".pt"


def checkpoint_file(folder: Path, step: int) -> Path:
    """Where the state after `step` optimiser steps is kept."""
    return folder / f"checkpoint_{step:08d}.pt"


def checkpoints(folder: Path) -> list[Path]:
    """The training checkpoints of a run, oldest first."""
    return sorted(folder.glob(_PATTERN))


def load_newest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read, and its content; None where there is none.

    A damaged one is named on stderr and set aside as `*.damaged`. Going on from the one before gives the same run:
    the steps between are repeated exactly.

    Raises:
        CheckpointError: there are checkpoints, and all are damaged.
    """
    damaged = []
    for path in reversed(checkpoints(folder)):
        try:
            state = load_training_state(path)
        except CheckpointError as error:
            damaged.append(path)
            print(f"{error}\nThe checkpoint before it is taken, and the steps between are repeated", file=sys.stderr)
            continue
        for bad in damaged:
            bad.rename(bad.with_suffix(".pt.damaged"))
        return path, state
    if damaged:
        raise CheckpointError(
            f"none of the {len(damaged)} checkpoints in {folder} can be read: --fresh starts anew and keeps them"
        )
    return None


def delete_old(folder: Path, keep: int, best_step: int | None) -> None:
    """Delete all checkpoints but the newest `keep` and that of the best step."""
    spared = [] if best_step is None else [checkpoint_file(folder, best_step)]
    for path in checkpoints(folder)[:-keep]:
        if path not in spared:
            path.unlink()


def set_aside(folder: Path) -> Path | None:
    """Rename a run's folder to the first free `<folder>.<number>`; None where there is no such folder."""
    if not folder.exists():
        return None
    number = 1
    while (target := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    return folder.rename(target)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed process left."""
    for path in folder.glob("*.tmp[0-9]*"):
        path.unlink()
