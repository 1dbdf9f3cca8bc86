"""Write networks, or whole trackers, as graphs for ONNX Runtime.

python -m pytracking export dimp_nceplus_lite super_dimp
python -m pytracking export dimp_nceplus_lite dimp_nceplus_nano --int8 PICTURES
python -m pytracking export dimp_nceplus_lite --onnx FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ltr.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

# What ranges of features are found in.
_EXAMPLES = 128

CONTRACT = """\
with --onnx: NAME_init.onnx, NAME_step.onnx and NAME_learn.onnx, with weights, for programs without Python. Images are
uint8 RGB [height, width, 3]; boxes (x, y, w, h) in pixels, float32 like all else but flag, place and stored (int64).

init   image, box of the first frame [4]
    -> target, filter, modulation_0, modulation_1, samples, boxes, weights, stored
step   image, target, jitter [J, 4] drawn anew from -0.5..0.5, weights, stored, filter, modulation_0, modulation_1
    -> box [4], score, flag (0 normal, 1 hard negative, 2 uncertain, 3 not found), next_target, next_weights,
       next_stored, place, sample, sample_box
learn  filter, samples, boxes, weights
    -> next_filter

Keep two buffers of rows, samples and boxes, one row longer than weights; init gives their first rows. After each step
take next_... as the inputs of the next one, and write sample and sample_box to row `place` of the buffers. Where flag
is 0 and the frame's number (the first is 0) is a multiple of train_skipping, run learn net_opt_update_iter times, and
where flag is 1 net_opt_hn_iter times: each time with the filter of the time before, and the first
min(stored[0], length of weights) rows of samples, boxes and weights. These are names of the tracker's parameters.
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_export.py",
        description="Write what ONNX Runtime needs to compute a tracker's network on a CPU (parameter backend, "
        "docs/speed.md). The file has no weights, so it serves every training of the same network; but a graph in int8 "
        "has them.",
        epilog=CONTRACT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parameters", nargs="+", help="parameter names, such as dimp_nceplus_lite")
    parser.add_argument(
        "--onnx", type=Path, metavar="FOLDER", help="write whole DiMP trackers there instead, see below"
    )
    parser.add_argument(
        "--int8",
        type=Path,
        metavar="PICTURES",
        help="also write a graph for precision='int8', with the ranges that features have in crops of pictures in this "
        f"folder: {_EXAMPLES} of them that look like what will be tracked, but are no test data",
    )
    return parser


def example_crops(folder: Path, size: int) -> list[Tensor]:
    """Crops [1, 3, size, size] in 0..255, a random square of each of some pictures in a folder and those in it.

    Raises:
        UserError: a folder without pictures.
        ImageError: a picture that cannot be read.
    """
    import numpy as np

    from ltr.data.image import IMAGE_SUFFIXES, read_image
    from pytracking.tracker.shared.search import crop_patch

    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise UserError(f"--int8 {folder}: no pictures there")
    draw = np.random.default_rng(0)
    crops = []
    for number in np.linspace(0, len(files) - 1, min(_EXAMPLES, len(files))).round().astype(int):
        image = read_image(files[number])
        height, width = image.shape[:2]
        side = draw.uniform(0.5, 1) * min(height, width)
        centre = [draw.uniform(side / 2, length - side / 2) for length in (height, width)]
        crops.append(crop_patch(image, centre, side, size)[0])
    return crops


def main(argv: list[str] | None = None) -> int:
    """Write the graphs, and print where. Returns 0."""
    args = build_parser().parse_args(argv)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from ltr.models.export import write_graphs
    from ltr.models.tracking.dimpnet import DiMPNet
    from ltr.models.tracking.tracking_net import TrackingNet
    from pytracking.backends import ascent_of, graphs_beside
    from pytracking.registry import load_parameters
    from pytracking.tracker.dimp.deployed import write_tracker
    from pytracking.tracker.dimp.settings import DiMPParameters
    from pytracking.tracker.shared.networks import checkpoint_of, load_tracking_network
    from pytracking.tracker.shared.settings import TrackerParameters

    for name in args.parameters:
        params = load_parameters(name)
        if args.onnx:
            if not isinstance(params, DiMPParameters):
                raise UserError(f"'{name}' is no DiMP tracker: no graph holds how it learns")
            network = load_tracking_network(checkpoint_of(params), DiMPNet)
            files = write_tracker(params, network, args.onnx, name)
        else:
            if not isinstance(params, TrackerParameters):
                raise UserError(f"'{name}' is no tracker whose network can be exported")
            checkpoint = checkpoint_of(params)
            files = [graphs_beside(checkpoint)]
            # Parameters of one network share its file.
            shared = [each for each in map(load_parameters, args.parameters) if checkpoint_of(each) == checkpoint]
            size = shared[0].image_sample_size
            write_graphs(
                load_tracking_network(checkpoint, TrackingNet),
                files[0],
                size=size,
                examples=example_crops(args.int8, size) if args.int8 else (),
                ascents=dict.fromkeys(map(ascent_of, shared)),
            )
        print(f"{name}: {', '.join(map(str, files))}")
    return 0
