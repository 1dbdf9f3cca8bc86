"""Train a recipe: `python ltr/run_training.py dimp dimp_nceplus`, or the recipe's name alone."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import json
import pkgutil
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import ltr.train_settings
from ltr.errors import MissingFileError, UserError, check_names, exit_status
from ltr.train_settings.recipe import Recipe, with_changes
from ltr.trainers.dry_run import dry_run
from ltr.trainers.loop import RunSettings, train
from ltr.trainers.run import PrepareTracking

EXAMPLES = """examples:
  python ltr/run_training.py dimp dimp_nceplus
  python ltr/run_training.py dimp_nceplus_lite --workspace /data/runs --num-workers 8
  python ltr/run_training.py dimp_nceplus_lite --set box.weight=0.1 --set epochs=2
  python ltr/run_training.py dimp_nceplus --print
  python ltr/run_training.py dimp_nceplus --dry-run
  python ltr/run_training.py my_recipe.py
  torchrun --nproc_per_node 4 ltr/run_training.py dimp_nceplus --set batch_size=80 --set micro_batches=4

The same command resumes a run that was stopped. Data sets are found by environment variables such as
EBM_TRACKING_GOT10K, or a paths.toml; a missing one is named with what to write where.

exit status: 0 trained; 2 an error, named in one line; 3 a loss that is not finite; 75 stopped by SIGTERM and saved;
130 stopped by Ctrl-C and saved (a second Ctrl-C does not save)."""


def recipes() -> dict[str, str]:
    """Recipe name -> its module, which has `recipe()`, or its function."""
    found = []
    for package in pkgutil.iter_modules(ltr.train_settings.__path__, "ltr.train_settings."):
        if package.ispkg:
            module = importlib.import_module(package.name)
            own = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == package.name}
            names = own | {file.name for file in pkgutil.iter_modules(module.__path__)}
            found += [f"{package.name}.{name}" for name in sorted(names) if not name.startswith("_")]
    return {name.rpartition(".")[2]: name for name in found}


def load_recipe(names: Sequence[str]) -> Recipe:
    """The recipe called `<name>` or `<module> <name>`, or that of the function `recipe()` of a file `<path>.py`.

    Raises:
        ValueError: for an unknown name (the nearest is named), or a file that has no such function.
        FileNotFoundError: there is no such file.
    """
    known = recipes()
    name = names[-1]
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise MissingFileError(f"{name}: no such recipe file")
        made = runpy.run_path(name, run_name=Path(name).stem).get("recipe", lambda: None)()
        if not isinstance(made, Recipe):
            raise UserError(f"{name} has no function recipe() that returns a Recipe")
        return made
    check_names("recipe", [name], known)
    folder = known[name].split(".")[-2]
    if len(names) == 2 and names[0] != folder:
        raise UserError(f"recipe '{name}' is in module '{folder}', not '{names[0]}'")
    if importlib.util.find_spec(known[name]) is None:
        return getattr(importlib.import_module(known[name].rpartition(".")[0]), name)()
    return importlib.import_module(known[name]).recipe()


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    default = RunSettings()
    result = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument(
        "recipe", nargs="+", metavar="NAME", help=f"a recipe: {', '.join(recipes())}; or a file of your own"
    )
    for name, metavar, text in (
        ("workspace", "FOLDER", "folder of runs"),
        ("device", "DEVICE", "where to train"),
        ("num_workers", "N", "loading processes"),
        ("keep", "N", "checkpoints kept besides the best"),
        ("checkpoint_interval", "STEPS", "steps between checkpoints inside an epoch, 0 for none"),
        ("log_interval", "STEPS", "steps between log lines"),
    ):
        value, option = getattr(default, name), f"--{name.replace('_', '-')}"
        kind = Path if isinstance(value, Path) else type(value)
        result.add_argument(option, type=kind, default=value, metavar=metavar, help=f"{text} (%(default)s)")
    result.add_argument("--compile", action="store_true", help="run the convolutional parts through torch.compile")
    result.add_argument(
        "--fresh", action="store_true", help="start from the beginning; an earlier run is kept as NAME.1, ..."
    )
    result.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the recipe"
    )
    result.add_argument(
        "--track-with",
        default="pytracking.evaluation.training_validation:prepare",
        metavar="MODULE:FUNCTION",
        help="what tracks for validation, where tracking.interval asks for it (%(default)s)",
    )
    result.add_argument("--print", action="store_true", help="print the whole recipe and stop")
    result.add_argument(
        "--dry-run",
        action="store_true",
        help="print the recipe and what it trains, draw one batch as dry_run.png in the run's folder, and stop",
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status (see EXAMPLES)."""
    return exit_status(lambda: run_command(build_parser().parse_args(arguments)), resumes=True)


def run_command(options: argparse.Namespace) -> None:
    """Do what the command line asks for. Errors as for `train`."""
    if len(options.recipe) > 2:
        raise UserError(f"a recipe is one name or a module and a name, not {' '.join(options.recipe)}")
    recipe = with_changes(load_recipe(options.recipe), options.set)
    if options.print:
        print(json.dumps(recipe.to_dict(), indent=2))
        return
    run = RunSettings(**{field.name: getattr(options, field.name) for field in dataclasses.fields(RunSettings)})
    if options.dry_run:
        dry_run(recipe, run)
        return
    track: PrepareTracking | None = None
    if recipe.tracking.interval:
        try:
            # `ltr` itself imports nothing that tracks.
            track = pkgutil.resolve_name(options.track_with)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(
                f"--track-with {options.track_with}: {error}; give MODULE:FUNCTION, or --set tracking.interval=0"
            ) from error
    train(recipe, run, track)


if __name__ == "__main__":
    sys.exit(main())
