"""Run several trackers on several data sets: an experiment by name, or a cross product.

python pytracking/run_experiment.py examples demo --threads 2
python pytracking/run_experiment.py --trackers dimp/dimp_nceplus opencv/kcf --datasets otb nfs --runs 5 --threads 4
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from ltr.errors import UserError, check_names, exit_status, unknown_name
from pytracking.evaluation.run_options import add_run_options, find_runs, numbered_runs, track

_FOLDER = "pytracking.experiments"
_EXAMPLES = """An experiment is a function without arguments that returns (trackers, sequences), in a module of
pytracking/experiments, a file (myexperiments.py) or any module that can be imported (my_package.my_module). Without a
function, those of the module are listed.

examples:
  run_experiment.py examples                                          the list of its experiments
  run_experiment.py examples demo --threads 2                         two worker processes
  run_experiment.py --trackers dimp/dimp_nceplus_lite opencv/kcf --datasets demo
  run_experiment.py --trackers dimp/dimp_nceplus dimp/dimp_nce --datasets otb nfs --runs 5 --threads 4
  RAY_ADDRESS=auto run_experiment.py examples objectives_lasot --backend ray"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="run_experiment.py",
        description="Run several trackers on several data sets; raw results are written for each sequence as it is\n"
        "finished, and complete ones of an earlier run are kept.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiment_module", nargs="?", help="module or file of experiments, such as examples")
    parser.add_argument("experiment_name", nargs="?", help="its function, such as demo")
    product = parser.add_argument_group("cross product, instead of an experiment by name")
    product.add_argument(
        "--trackers", nargs="+", metavar="[TRACKER/]PARAMETERS[=LABEL]", help="such as dimp/dimp_nceplus_lite"
    )
    product.add_argument("--datasets", nargs="+", metavar="NAME", help="such as otb nfs")
    product.add_argument("--dataset_path", type=Path, metavar="PATH", help="its folder, where it is not configured")
    product.add_argument("--sequence", nargs="+", metavar="NAME", help="only these sequences (default: all)")
    product.add_argument("--runs", type=int, metavar="N", help="runs 0 to N - 1 of each tracker, each with its seeds")
    product.add_argument("--runid", type=int, help="number of this run of each tracker (default: no number)")
    add_run_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 when a sequence failed."""
    args = build_parser().parse_args(argv)
    names = ("trackers", "datasets", "dataset_path", "sequence", "runs", "runid")
    product = {name: getattr(args, name) for name in names}
    if args.experiment_module is None:
        return _run_product(args)
    if given := [f"--{name}" for name, value in product.items() if value is not None]:
        raise UserError(f"an experiment by name has its own trackers and sequences; leave {' '.join(given)} out")
    module = _module(args.experiment_module)
    experiments = _experiments(module)
    if args.experiment_name is None:
        for name, function in experiments.items():
            print(f"{name:24s} {(inspect.getdoc(function) or '').partition(chr(10))[0]}")
        return 0
    check_names(f"experiment of {module.__name__}", [args.experiment_name], experiments)
    trackers, sequences = experiments[args.experiment_name]()
    return track(args, list(sequences), list(trackers))


def _run_product(args: argparse.Namespace) -> int:
    if not args.trackers or not args.datasets:
        raise UserError("name an experiment (module and function), or give --trackers and --datasets; see --help")
    from pytracking.evaluation.datasets import read_dataset

    runs = find_runs(args.trackers, numbered_runs(args.runid, args.runs))
    if args.dataset_path and len(args.datasets) > 1:
        raise UserError("--dataset_path is for one data set; for several set their places: python -m pytracking setup")
    reading = read_dataset(
        *args.datasets, path=args.dataset_path, sequences=args.sequence, skip_missing=args.skip_missing
    )
    return track(args, reading.sequences, runs, args.datasets, reading)


def _module(name: str) -> ModuleType:
    """The module of experiments that a name stands for. Raises `UserError` for an unknown one."""
    own = [module.name for module in pkgutil.iter_modules(importlib.import_module(_FOLDER).__path__)]
    if name in own:
        return importlib.import_module(f"{_FOLDER}.{name}")
    file = Path(name if name.endswith(".py") else f"{name}.py")
    if file.is_file():
        specification = importlib.util.spec_from_file_location(file.stem, file)
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module
    try:
        found = importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        found = False
    if not found:
        raise unknown_name("module of experiments", name, own)
    return importlib.import_module(name)


def _experiments(module: ModuleType) -> dict[str, Callable[[], tuple]]:
    """The public functions that a module itself defines and that need no arguments."""
    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_")
        and function.__module__ == module.__name__
        and all(each.default is not each.empty for each in inspect.signature(function).parameters.values())
    }


if __name__ == "__main__":
    sys.exit(exit_status(main))
