"""Energy landscapes: f around the target of a video's frame, over position and over size, and as a density.

    python -m experiments.landscapes --sequence dog --frame 20                   # the shipped network
    python -m experiments.landscapes --heads workspace/training_methods/heads    # every method side by side

A head of each method comes from `python -m experiments.training_methods run`. Boxes of the annotated size are scored at
every position, and boxes around the annotated centre in every size; exp f, normalised over the grid, is the density
that the head has learned there. The refined box starts where the tracker's would.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from experiments.common import command_line, save_figure
from experiments.training_methods.heads import SHIPPED, Head, find_heads
from ltr.actors.energy import BoxEnergy
from ltr.data.processing import CropSettings, crop, search_region
from ltr.ebm.density import grid_log_density, moments
from ltr.errors import UserError, exit_status
from ltr.models.tracking.tracking_net import BOX_LAYERS, TrackingNet
from ltr.ops.boxes import iou
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import Refinement
from ltr.trainers.validation import jittered_boxes, refine
from pytracking.analysis.tables import format_table
from pytracking.evaluation import Sequence as Clip
from pytracking.evaluation import get_dataset
from pytracking.visualise import COLOURS

# The narrowest range of f and of p that a picture's colours cover.
_LEAST_RANGE = 0.01


@dataclass(frozen=True)
class Scene:
    """A frame with its target, and the frame that the target is known from.

    Attributes:
        title: Name of the sequence and number of the frame.
        reference, test: Crops [3, S, S] uint8 RGB.
        reference_box, box: [4] (x, y, w, h) in crop pixels.
    """

    title: str
    reference: Tensor
    test: Tensor
    reference_box: Tensor
    box: Tensor


@dataclass(frozen=True)
class Landscape:
    """What one head says about a scene; grids [cells, cells], the second axis is x or width.

    Attributes:
        label: Name of the head.
        offsets: [cells] offsets of the box: those of its centre in parts of it, those of its size in logarithms.
        position, size: f over the centre's offset (y, x), and over the size's (log h, log w).
        log_position, log_size: the densities over each grid, log p.
        deviation: [4] standard deviations of the two densities: x, y, log w, log h.
        refined: [4] the box that the ascent reaches.
        overlap: its IoU with the annotation.
    """

    label: str
    offsets: Tensor
    position: Tensor
    size: Tensor
    log_position: Tensor
    log_size: Tensor
    deviation: Tensor
    refined: Tensor
    overlap: float


def find_scene(sequence: str, frame: int, dataset: str = "demo", path: Path | None = None) -> Scene:
    """Crops of a sequence's first frame and of frame `frame` (from 0), centred on the annotations.

    Raises:
        UserError: an unknown sequence, or a frame that is not there or not annotated.
    """
    (clip,) = get_dataset(dataset, path=path, sequences=[sequence])
    if not 0 <= frame < len(clip.frames):
        raise UserError(f"{clip.name} has frames 0 to {len(clip.frames) - 1}, not {frame}")
    settings = load_recipe([SHIPPED]).crop
    reference, reference_box = _cut(clip, 0, settings)
    test, box = _cut(clip, frame, settings)
    return Scene(f"{clip.name}, frame {frame}", reference, test, reference_box, box)


def _cut(clip: Clip, frame: int, settings: CropSettings) -> tuple[Tensor, Tensor]:
    image, box = clip.image(frame), np.asarray(clip.ground_truth_rect[frame], dtype=float)
    if not (np.isfinite(box).all() and (box[2:] > 0).all()):
        raise UserError(f"{clip.annotation_path}: frame {frame} has no target")
    cut, moved = crop(image, box, search_region(box, image.shape[:2], settings), settings.output_size)
    return torch.from_numpy(cut).permute(2, 0, 1), torch.from_numpy(moved).float()


@torch.no_grad()
def energy_in(scene: Scene, net: TrackingNet) -> BoxEnergy:
    """The energy that a network's head has in a scene."""
    layers = net.extract_backbone_features(net.normalise(torch.stack((scene.reference, scene.test))))
    head = net.bb_regressor
    modulation = head.get_modulation([layers[name][:1] for name in BOX_LAYERS], scene.reference_box[None])
    features = head.get_iou_feat([layers[name][1:] for name in BOX_LAYERS])
    return BoxEnergy(head, modulation, features, scene.box[None])


@torch.no_grad()
def survey(scene: Scene, head: Head, extent: float = 1.0, cells: int = 61) -> Landscape:
    """Score the grids around the annotation and refine a box.

    Args:
        extent: reach of the grids to each side: in parts of the box for the centre, in logarithms for the size.
        cells: number of cells along each axis.
    """
    energy = energy_in(scene, head.net)
    offsets = torch.linspace(-extent, extent, cells)
    rows, columns = torch.meshgrid(offsets, offsets, indexing="ij")
    zero = torch.zeros_like(rows)
    volume = (2 * extent / (cells - 1)) ** 2
    scores, logs, deviations = [], [], []
    for moved in ((columns, rows, zero, zero), (zero, zero, columns, rows)):
        points = energy.annotation[:, None] + torch.stack(moved, dim=-1).reshape(1, -1, 4)
        found = energy(points).reshape(cells, cells)
        scores.append(found)
        logs.append(grid_log_density(found, volume, dims=2))
        flat = torch.stack((columns, rows), dim=-1).reshape(-1, 2)
        deviations.append(moments(flat, found.flatten())[1].diagonal().sqrt())
    refinement = Refinement(step_length=head.step)
    starts = jittered_boxes(scene.box[None], refinement, torch.Generator().manual_seed(0))
    refined = refine(energy, starts, refinement)[0]
    overlap = float(iou(refined, scene.box))
    return Landscape(
        head.label, offsets, scores[0], scores[1], logs[0], logs[1], torch.cat(deviations), refined, overlap
    )


def landscape_figure(scene: Scene, landscapes: Sequence[Landscape]) -> Figure:
    """A row for each head: the frame with annotated and refined box, f and p over position, f and p over size.

    f is shown relative to its maximum. Each head has its own scale, which its colour bar shows.
    """
    rows = len(landscapes)
    figure = Figure(figsize=(13.5, 2.1 * rows + 0.6), layout="constrained")
    figure.suptitle(f"{scene.title}: white annotated, orange refined")
    axes = figure.subplots(rows, 5, squeeze=False)
    for row, (line, found) in enumerate(zip(axes, landscapes)):
        _draw_frame(line[0], scene, found)
        for axis, grid, title, position in (
            (line[1], found.position - found.position.max(), "f over position", True),
            (line[2], found.log_position.exp(), "p over position", True),
            (line[3], found.size - found.size.max(), "f over size", False),
            (line[4], found.log_size.exp(), "p over size", False),
        ):
            _draw_grid(axis, found, grid, position)
            if row == 0:
                axis.set_title(title)
    return figure


def profile_figure(scene: Scene, landscapes: Sequence[Landscape]) -> Figure:
    """Densities along x and along log w through the annotation, all heads in one picture, each normalised there."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    figure.suptitle(scene.title)
    for axis, grid, text in zip(
        figure.subplots(1, 2), ("position", "size"), ("offset in x, parts of the box", "offset in log w")
    ):
        for number, found in enumerate(landscapes):
            scores = getattr(found, grid)[len(found.offsets) // 2]
            width = float(found.offsets[1] - found.offsets[0])
            line = "-" if number < len(COLOURS) else "--"
            density = grid_log_density(scores, width).exp()
            axis.plot(found.offsets, density, line, color=COLOURS[number % len(COLOURS)], label=found.label)
        axis.set(xlabel=text, ylabel="density")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    return figure


def _draw_frame(axis: Axes, scene: Scene, found: Landscape) -> None:
    axis.imshow(scene.test.permute(1, 2, 0).numpy())
    # The white line has dark edges, so that it is visible on any background.
    for box, colour, width in ((scene.box, "black", 2.6), (scene.box, "white", 1.2), (found.refined, COLOURS[0], 1.4)):
        x, y, w, h = box.tolist()
        axis.plot([x, x + w, x + w, x, x], [y, y, y + h, y + h, y], color=colour, linewidth=width)
    x, y, w, h = scene.box.tolist()
    side = float(scene.test.shape[-1])
    reach = min(1.2 * max(w, h), side / 2)
    middle_x, middle_y = (min(max(middle, reach), side - reach) for middle in (x + w / 2, y + h / 2))
    axis.set(xlim=(middle_x - reach, middle_x + reach), ylim=(middle_y + reach, middle_y - reach))
    axis.set(xticks=[], yticks=[], ylabel=f"{found.label}\nIoU {found.overlap:.2f}")


def _draw_grid(axis: Axes, found: Landscape, grid: Tensor, position: bool) -> None:
    low, high = float(found.offsets[0]), float(found.offsets[-1])
    # y grows downwards in a picture, a size upwards.
    extent = (low, high, high, low) if position else (low, high, low, high)
    origin: Literal["upper", "lower"] = "upper" if position else "lower"
    # Differences that are too small to matter should not look like a landscape.
    highest = float(grid.max())
    lowest = min(float(grid.min()), highest - _LEAST_RANGE)
    shown = axis.imshow(
        grid.numpy(), extent=extent, origin=origin, vmin=lowest, vmax=highest, cmap="viridis", interpolation="nearest"
    )
    axis.plot(0, 0, "+", color="white", markersize=8)
    assert axis.figure is not None
    axis.figure.colorbar(shown, ax=axis, fraction=0.046)
    axis.set_xlabel("x" if position else "log w", labelpad=1)
    axis.set_ylabel("y" if position else "log h", labelpad=1)


def table(landscapes: Sequence[Landscape]) -> str:
    """A line a head: the range of f, the densities' standard deviations, the refined box's IoU."""
    rows = []
    for found in landscapes:
        span = float(torch.maximum(found.position.max(), found.size.max()))
        span -= float(torch.minimum(found.position.min(), found.size.min()))
        numbers = [f"{value:.3f}" for value in (*found.deviation.tolist(), found.overlap)]
        rows.append([found.label, f"{span:.2f}", *numbers])
    return format_table(["head", "range of f", "std x", "std y", "std log w", "std log h", "IoU"], rows)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line("landscapes", __doc__)
    parser.add_argument("--heads", type=Path, metavar="DIR", help="folder of trained heads (the shipped head)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the heads (%(default)s)")
    parser.add_argument("--sequence", default="dog", help="name of the sequence (%(default)s)")
    parser.add_argument("--frame", type=int, default=20, help="number of the frame, from 0 (%(default)s)")
    parser.add_argument("--dataset", default="demo", help="data set that has the sequence (%(default)s)")
    parser.add_argument("--path", type=Path, help="the data set's folder")
    parser.add_argument(
        "--extent", type=float, default=1.0, help="reach of the grids to each side, in parts of the box (%(default)s)"
    )
    parser.add_argument("--cells", type=int, default=61, help="number of cells along each axis of a grid (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/landscapes.png"), help="%(default)s")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0."""
    args = build_parser().parse_args(argv)
    if args.cells < 3 or not args.extent > 0:
        raise UserError(f"--cells wants at least 3 and --extent more than 0, not {args.cells} and {args.extent}")
    scene = find_scene(args.sequence, args.frame, args.dataset, args.path)
    landscapes = [survey(scene, head, args.extent, args.cells) for head in find_heads(args.heads, args.seed)]
    print(table(landscapes))
    profiles = args.output.with_name(f"{args.output.stem}_profiles{args.output.suffix}")
    save_figure(landscape_figure(scene, landscapes), args.output)
    save_figure(profile_figure(scene, landscapes), profiles)
    print(args.output, profiles, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
