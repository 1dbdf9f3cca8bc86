"""The paper's one-dimensional regression study (section 4.1): which training method learns p(y | x) best?

    python -m experiments.regression_1d run --quick    # all methods, small: under two minutes, not the study's numbers
    python -m experiments.regression_1d run            # the study, with KL against M; goes on where it was stopped
    python -m experiments.regression_1d study beta     # NCE+ by beta; also: sigma, label_noise
    python -m experiments.regression_1d table
    python -m experiments.regression_1d figures
    python -m experiments.regression_1d docs               # the page's table and figures, from stored results

A unit of the study is a data set, a method and M; its models are trained together on one core. Results of units that
lie in --output are not computed again.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from experiments.common import command_line
from experiments.regression_1d import figures, report
from experiments.regression_1d.settings import (
    QUICK,
    SAMPLES,
    STUDIES,
    STUDY_SETTINGS,
    RegressionSettings,
    main_units,
    study_units,
)
from experiments.regression_1d.study import KERNELS, load_results, run_units
from ltr.errors import UserError, exit_status
from ltr.train_settings.recipe import with_changes

OUTPUT = Path("results/regression_1d")
QUICK_OUTPUT = Path("results/regression_1d_quick")


def _parser() -> argparse.ArgumentParser:
    parser = command_line("regression_1d", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train and evaluate all methods")
    run.add_argument("--methods", nargs="+", metavar="METHOD", help="some of them, such as nceplus (all)")
    run.add_argument(
        "--samples",
        nargs="*",
        type=int,
        default=None,
        metavar="M",
        help=f"numbers of samples to run beside the settings' own ({' '.join(map(str, SAMPLES))}; none with --quick)",
    )
    study = commands.add_parser("study", help="what NCE+ gains by its settings, and with noisy labels")
    study.add_argument("study", metavar="STUDY", help=", ".join(STUDIES))
    for each in (run, study):
        each.add_argument("--quick", action="store_true", help="small: shows that all works")
        each.add_argument("--datasets", nargs="+", metavar="DATASET", help="set1, set2 (both)")
        each.add_argument("--seeds", type=int, metavar="K", help="models a unit, with seeds 0 to K - 1")
        each.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
        each.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="units at a time (%(default)s)")
        each.add_argument("--kernel", choices=KERNELS, default="auto", help="the network's y-half (%(default)s)")
    others = [
        commands.add_parser("table", help="print the table of stored results"),
        commands.add_parser("figures", help="draw figures of stored results"),
        commands.add_parser("docs", help="write the table and the figures of stored results into the documentation"),
    ]
    for each in (run, study, *others):
        each.add_argument("--output", type=Path, help=f"folder of the results ({OUTPUT}; with --quick {QUICK_OUTPUT})")
    others[0].epilog = "--output may be a card, such as experiments/cards/regression_1d.json."
    others[1].add_argument("--images", type=Path, help="folder to draw into (`figures` in the results' folder)")
    others[2].add_argument("--page", type=Path, default=Path("docs/regression_1d.md"), help="%(default)s")
    others[2].add_argument(
        "--card", type=Path, default=Path("experiments/cards/regression_1d.json"), help="%(default)s"
    )
    return parser


def _settings(options: argparse.Namespace, default: RegressionSettings) -> RegressionSettings:
    settings = QUICK if options.quick else default
    if options.seeds is not None:
        settings = replace(settings, models=options.seeds)
    changed: RegressionSettings = with_changes(settings, options.set)
    if options.workers < 1:
        raise UserError(f"--workers must be at least 1, is {options.workers}")
    return changed


def _run(options: argparse.Namespace) -> None:
    folder = options.output or (QUICK_OUTPUT if options.quick else OUTPUT)
    if options.command == "run":
        settings = _settings(options, RegressionSettings())
        samples = options.samples if options.samples is not None else (() if options.quick else SAMPLES)
        units = main_units(settings, options.datasets, options.methods, samples)
    else:
        units = study_units(options.study, _settings(options, STUDY_SETTINGS), options.datasets)
    results = run_units(units, folder, options.workers, options.kernel)
    print(report.tables(results))
    print(f"results: {folder / 'results.csv'}")
    if options.quick:
        print("This was a quick run: it shows that everything works. Its numbers are not the study's.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0."""
    options = _parser().parse_args(arguments)
    if options.command in ("run", "study"):
        _run(options)
        return 0
    folder = options.output or OUTPUT
    results = load_results(folder)
    if options.command == "table":
        print(report.tables(results))
    elif options.command == "figures":
        print(*figures.draw_all(results, folder, options.images or folder / "figures"), sep="\n")
    else:
        print(*report.write_docs(results, folder, options.page, options.card), sep="\n")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(exit_status(main, resumes=True))
