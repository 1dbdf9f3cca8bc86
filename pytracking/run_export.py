"""Write the graphs of trackers' networks for ONNX Runtime, beside their checkpoints.

python -m pytracking export dimp_nceplus_lite super_dimp
"""

from __future__ import annotations

import argparse
import sys

from ltr.errors import UserError, exit_status


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_export.py",
        description="Write what ONNX Runtime needs to compute a tracker's network on a CPU (parameter backend, "
        "docs/speed.md). The file has no weights, so it serves every training of the same network.",
    )
    parser.add_argument("parameters", nargs="+", help="parameter names, such as dimp_nceplus_lite")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Write the graphs, and print where. Returns 0."""
    args = build_parser().parse_args(argv)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from ltr.models.export import write_graphs
    from ltr.models.tracking.tracking_net import TrackingNet
    from pytracking.backends import graphs_beside
    from pytracking.registry import load_parameters
    from pytracking.tracker.shared.networks import checkpoint_of, load_tracking_network
    from pytracking.tracker.shared.settings import TrackerParameters

    for name in args.parameters:
        params = load_parameters(name)
        if not isinstance(params, TrackerParameters):
            raise UserError(f"'{name}' is no tracker whose network can be exported")
        checkpoint = checkpoint_of(params)
        path = graphs_beside(checkpoint)
        write_graphs(
            load_tracking_network(checkpoint, TrackingNet),
            path,
            size=params.image_sample_size,
            space=params.box_refinement_space,
            steps=params.box_refinement_iter,
        )
        print(f"{name}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
