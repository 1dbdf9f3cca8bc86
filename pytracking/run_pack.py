"""Pack raw results into the zip that the server of TrackingNet or GOT-10k takes.

python -m pytracking pack trackingnet dimp/dimp_nceplus --output dimp_nceplus.zip
python -m pytracking pack got10k dimp/dimp_nceplus:0,1,2
"""

from __future__ import annotations

import argparse
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_pack.py",
        description="Check that the results of a tracker on all of a test set are complete, and pack them for its "
        "evaluation server. Nothing is written where anything is missing.",
    )
    parser.add_argument("server", help="trackingnet or got10k")
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="TRACKER/PARAMETERS[:RUN]",
        help="tracker to pack, such as dimp/dimp_nceplus; for got10k up to three runs, the repetitions",
    )
    parser.add_argument("--results", type=Path, help="folder of raw results (default: results/tracking_results)")
    parser.add_argument("--dataset_path", type=Path, help="folder of the data set, where it is not configured")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="ZIP",
        help="default: results/packed_results/<server>_<tracker>_<parameters>.zip, after the first run",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Check, pack, print where. Returns 0."""
    args = build_parser().parse_args(argv)
    # Imported after parsing, so that --help and a mistyped option answer at once.
    from pytracking.evaluation.packing import pack_results
    from pytracking.evaluation.tracker import results_root

    name = f"{args.server}_{args.runs[0].replace('/', '_').replace(':', '_')}.zip"
    output = args.output or Path("results/packed_results") / name
    count = pack_results(args.server, args.runs, results_root(args.results), output, args.dataset_path)
    print(f"{count} sequences packed: {output}")
    return 0
