"""The paper's detection study: boxes of a frozen detector, refined on an energy head that each method trained.

    python -m experiments.detection make-small --source FOLDER              # a small COCO-format data set
    python -m experiments.detection run --preset small --data DATA          # train, refine, judge: a table
    python -m experiments.detection run --preset small --data DATA --quick  # the same in a minute, figures of no worth
    python -m experiments.detection detect --data COCO --split val --device cuda      # COCO: what Faster R-CNN finds,
    python -m experiments.detection run --data COCO --device cuda --workers 8         # and the paper's settings
    python -m experiments.detection report                                  # tables and picture of docs/detection.md

The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from experiments.common import claim_workspace, command_line
from experiments.detection import report
from experiments.detection.coco_files import read_instances
from experiments.detection.settings import PRESETS
from experiments.detection.small_data import JitterSettings, make_small, write_jittered
from experiments.detection.study import STUDY_FILE, Workplace, detect, make_detector, run_study
from ltr.errors import exit_status
from ltr.train_settings.recipe import with_changes
from ltr.trainers.processes import keep_freed_memory


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, required=True, help="folder of COCO 2017, or of make-small")
    shared.add_argument("--workspace", type=Path, default=Path("workspace/detection"), help="%(default)s")
    shared.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="here: %(default)s")
    shared.add_argument("--workers", type=int, default=0, help="processes that read images (%(default)s)")
    shared.add_argument("--preset", choices=list(PRESETS), default="paper", help="settings to start from (%(default)s)")
    shared.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    jitter = argparse.ArgumentParser(add_help=False)
    jitter.add_argument(
        "--jitter", action="append", default=[], metavar="KEY=VALUE", help="centre, size, missed, false_positives, seed"
    )
    parser = command_line("detection", __doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    small = commands.add_parser("make-small", parents=[jitter], help="COCO format from images/ and boxes.csv")
    small.add_argument("--source", type=Path, required=True, help="folder with images/ and boxes.csv")
    small.add_argument("--folder", type=Path, default=Path("workspace/detection_small"), help="%(default)s")
    made = commands.add_parser("jitter", parents=[jitter], help="detections made from annotations, as a results file")
    made.add_argument("annotations", type=Path, help="a COCO instances file")
    made.add_argument("images", type=Path, help="folder of its images")
    made.add_argument("results", type=Path, help="the file to write")
    found = commands.add_parser("detect", parents=[shared], help="run the detector, write a results file")
    found.add_argument("--split", default="val", help="train, val or tune (%(default)s)")
    run = commands.add_parser("run", parents=[shared], help="the study")
    run.add_argument("--quick", action="store_true", help="as --preset quick, in a workspace of its own")
    published = commands.add_parser("report", help="publish results: card, tables and picture")
    published.add_argument("--workspace", type=Path, default=Path("workspace/detection"), help="%(default)s")
    published.add_argument("--cards", type=Path, default=Path("experiments/cards"), help="%(default)s")
    published.add_argument("--docs", type=Path, default=Path("docs"), help="%(default)s")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = build_parser().parse_args(argv)
    if args.command == "make-small":
        counts = make_small(args.source, args.folder, with_changes(JitterSettings(), args.jitter))
        print(f"{args.folder}: {', '.join(f'{count} images in {split}' for split, count in counts.items())}")
        return 0
    if args.command == "jitter":
        instances = read_instances(args.annotations, args.images)
        write_jittered(instances, args.results, with_changes(JitterSettings(), args.jitter))
        print(args.results)
        return 0
    if args.command == "report":
        card = report.publish(args.workspace / STUDY_FILE, args.cards)
        print(card, *report.write_report(args.cards, args.docs), sep="\n")
        return 0
    quick = args.command == "run" and args.quick
    settings = with_changes(PRESETS["quick" if quick else args.preset], args.set)
    folder = args.workspace / "quick" if quick else args.workspace
    place = Workplace(args.data, folder, args.device, args.workers)
    if args.device == "cpu":
        keep_freed_memory()
    if args.command == "detect":
        print(detect(place, make_detector(settings.detector, args.device), args.split))
        return 0
    # A workspace is not marked by a study that cannot start.
    place.instances("val"), place.detections_file("val")
    wanted = {"data": str(place.data.resolve()), **settings.to_dict()}
    claim_workspace(folder, wanted, free=("methods", "seeds", "refinement"))
    study = run_study(place, settings)
    print(report.main_table(study), folder / STUDY_FILE, sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main, resumes=True))
