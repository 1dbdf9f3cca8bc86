"""Train a recipe: `python ltr/run_training.py dimp dimp_nceplus`, or the recipe's name alone."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import ltr.train_settings
from ltr.admin.checkpoint import CheckpointError
from ltr.admin.errors import PretrainedWeightsError
from ltr.names import unknown_name
from ltr.train_settings.recipe import Recipe, with_changes
from ltr.trainers.loop import NonFiniteLossError, RunSettings, train

EXAMPLES = """examples:
  python ltr/run_training.py dimp dimp_nceplus
  python ltr/run_training.py dimp_nceplus_lite --workspace /data/runs --num-workers 8
  python ltr/run_training.py dimp_nceplus_lite --set box.weight=0.1 --set epochs=2
  python ltr/run_training.py dimp_nceplus --print

The same command resumes a run that was stopped. Data sets are found by environment variables such as
EBM_TRACKING_GOT10K, or a paths.toml; a missing one is named with what to write where."""


def recipes() -> dict[str, str]:
    """Recipe name -> module that holds it."""
    root = Path(ltr.train_settings.__file__).parent
    found = sorted(path for path in root.glob("*/*.py") if not path.stem.startswith("_"))
    return {path.stem: f"ltr.train_settings.{path.parent.name}.{path.stem}" for path in found}


def load_recipe(names: Sequence[str]) -> Recipe:
    """The recipe called `<name>` or `<module> <name>`.

    Raises:
        ValueError: for an unknown name (the nearest is named).
    """
    known = recipes()
    name = names[-1]
    if name not in known:
        raise ValueError(unknown_name("recipe", name, known))
    folder = known[name].split(".")[-2]
    if len(names) == 2 and names[0] != folder:
        raise ValueError(f"recipe '{name}' is in module '{folder}', not '{names[0]}'")
    recipe: Recipe = importlib.import_module(known[name]).recipe()
    return recipe


def parser() -> argparse.ArgumentParser:
    """The command line."""
    default = RunSettings()
    result = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("recipe", nargs="+", metavar="NAME", help=f"a recipe: {', '.join(recipes())}")
    result.add_argument("--workspace", type=Path, default=default.workspace, help="folder of runs (%(default)s)")
    result.add_argument("--device", default=default.device, help="where to train (here: %(default)s)")
    result.add_argument("--num-workers", type=int, default=default.num_workers, help="loading processes (%(default)s)")
    result.add_argument("--fresh", action="store_true", help="start anew although the run has a checkpoint")
    result.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the recipe"
    )
    result.add_argument("--print", action="store_true", help="print the whole recipe and stop")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        if len(options.recipe) > 2:
            raise ValueError(f"a recipe is one name or a module and a name, not {' '.join(options.recipe)}")
        recipe = with_changes(load_recipe(options.recipe), options.set)
        if options.print:
            print(json.dumps(recipe.to_dict(), indent=2))
            return 0
        run = RunSettings(
            workspace=options.workspace, device=options.device, num_workers=options.num_workers, fresh=options.fresh
        )
        train(recipe, run)
    except (ValueError, FileNotFoundError, CheckpointError, PretrainedWeightsError, NonFiniteLossError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}. What was saved before is whole; the same command resumes", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command resumes from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
