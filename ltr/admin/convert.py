"""Convert a network between this project's format and PyTracking's.

    python -m ltr.admin.convert super_dimp.pth.tar super_dimp.safetensors
    python -m ltr.admin.convert dimp_nceplus.safetensors dimp_nceplus.pth.tar

The source's content decides its format, and the target is the other one. Nothing in a checkpoint is executed, and
the weights are put into the network that the source names before anything is written.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ltr.admin.checkpoint import build_network, card_path, read_card, read_checkpoint, save_network
from ltr.admin.model_constructor import NetworkConstructor
from ltr.admin.paths import PUBLIC_SUFFIXES
from ltr.admin.public_checkpoint import load_public_checkpoint, save_public_checkpoint
from ltr.admin.torch_file import is_torch_file
from ltr.errors import CheckpointError, exit_status

_SUFFIX = ".safetensors"


def convert(source: Path, target: Path, dtype: torch.dtype = torch.float32, overwrite: bool = False) -> nn.Module:
    """Write `source` as `target` in the other format; returns the network.

    Args:
        source: a checkpoint of either format.
        target: `.safetensors` (its card is written beside it) for a public checkpoint, `.pth` or `.pth.tar` for ours.
        dtype: type of the floating-point weights in a safetensors file; public checkpoints are float32.
        overwrite: replace what `target` is now.

    Raises:
        CheckpointError: a source that cannot be read or that the other format has no network for, or a target with
            the wrong suffix or that is already there.
        OSError: nothing is left half-written.
    """
    public = is_torch_file(source)
    suffixes = (_SUFFIX,) if public else PUBLIC_SUFFIXES
    if not target.name.endswith(suffixes):
        kind = "PyTracking's" if public else "this project's"
        raise CheckpointError(f"{source} has {kind} format, so the target must end in {' or '.join(suffixes)}")
    for path in (target, card_path(target)) if public else (target,):
        if path.exists() and not overwrite:
            raise CheckpointError(f"{path} is already there; --overwrite replaces it")
    if public:
        return _to_ours(source, target, dtype)
    constructor, net = read_checkpoint(source)
    origin = _origin_on_card(source, constructor)
    kinds = {"net_type": str, "actor_type": str, "epoch": int}
    stated = {key: origin[key] for key, kind in kinds.items() if type(origin.get(key)) is kind}
    save_public_checkpoint(target, constructor, net.state_dict(), **stated)
    return net


def _to_ours(source: Path, target: Path, dtype: torch.dtype) -> nn.Module:
    checkpoint = load_public_checkpoint(source)
    net = build_network(source, checkpoint.constructor, checkpoint.state_dict)
    # Plain values of its settings, not the paths of its machine.
    settings = {
        key: value
        for key, value in checkpoint.settings.items()
        if type(value) in (bool, int, float) or value is None or (type(value) is str and not Path(value).is_absolute())
    }
    origin = {
        "format": "PyTracking checkpoint",
        "file": source.name,
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "net_type": checkpoint.net_type,
        "actor_type": checkpoint.actor_type,
        "epoch": checkpoint.epoch,
        "settings": settings,
    }
    card = {"origin": origin, "precision": str(dtype).removeprefix("torch.")}
    save_network(target, net, checkpoint.constructor, card, dtype=dtype)
    return net


def _origin_on_card(source: Path, constructor: NetworkConstructor) -> dict[str, Any]:
    """The origin on the card beside a network, where there is one and it speaks of this network."""
    card = read_card(source)
    if not card:
        return {}
    named = card.get("constructor")
    if type(named) is not dict or named.get("name") != constructor.name:
        raise CheckpointError(
            f"the card {card_path(source)} does not describe {source}, whose network is '{constructor.name}'"
        )
    origin = card.get("origin")
    return origin if type(origin) is dict else {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ltr.admin.convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="a checkpoint of either format")
    parser.add_argument("target", type=Path, help="the file to write: .safetensors, or .pth, .pth.tar")
    parser.add_argument("--half", action="store_true", help="store a safetensors file's weights as float16 (lossy)")
    parser.add_argument("--overwrite", action="store_true", help="replace the target if it is already there")
    return exit_status(lambda: _run(parser.parse_args(arguments)))


def _run(options: argparse.Namespace) -> None:
    net = convert(options.source, options.target, torch.float16 if options.half else torch.float32, options.overwrite)
    count = sum(parameter.numel() for parameter in net.parameters())
    print(f"{options.target}: {type(net).__name__} of {count / 1e6:.1f} million parameters")


if __name__ == "__main__":
    sys.exit(main())
