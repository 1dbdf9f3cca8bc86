"""Names that PyTracking's users import and that have another place here: the import error says which."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

# A module, or a name that is imported from a package, -> what to use. A test compares it with docs/from_pytracking.md.
MOVED = {
    "ltr.actors.BBActor": "the box head's loss is part of every actor: ltr.actors.tracking.Actor",
    "ltr.admin.environment": "data sets are found by environment variables or paths.toml: see docs/data.md",
    "ltr.admin.loading": "ltr.admin.checkpoint.load_network",
    "ltr.admin.local": "data sets are found by environment variables or paths.toml; `python -m pytracking setup "
    "--from_local local.py` takes an old local.py over",
    "ltr.admin.multigpu": "torchrun ltr/run_training.py: see docs/training.md",
    "ltr.admin.settings": "ltr.train_settings.recipe.Recipe",
    "ltr.admin.tensorboard": "training writes TensorBoard's events by itself: see docs/training.md",
    "ltr.data.LTRLoader": "ltr.data.loader.make_loader",
    "ltr.data.processing_utils": "ltr.ops.crops and ltr.data.processing",
    "ltr.data.transforms": "ltr.data.augmentation",
    "ltr.external": "ltr.ops.prroi_pool: Precise RoI Pooling in plain tensor operations, nothing to compile",
    "ltr.models.layers": "ltr.models.target_classifier and ltr.ops",
    "ltr.models.loss": "ltr.ebm.objectives",
    "ltr.trainers.LTRTrainer": "ltr.trainers.loop.train",
    "ltr.trainers.ltr_trainer": "ltr.trainers.loop.train",
    "pytracking.TensorDict": "plain dictionaries and dataclasses of tensors",
    "pytracking.TensorList": "plain lists of tensors",
    "pytracking.evaluation.local": "data sets are found by environment variables or paths.toml; `python -m pytracking "
    "setup --from_local local.py` takes an old local.py over",
    "pytracking.evaluation.multi_object_wrapper": "pytracking.MultiTracker",
    "pytracking.features.net_wrappers": "ltr.admin.checkpoint.load_network",
    "pytracking.features.preprocessing": "pytracking.tracker.shared.search.crop_patch",
    "pytracking.libs": "ltr.ops, and pytracking.tracker.atom for the conjugate gradient",
    "pytracking.util_scripts": "python -m pytracking pack, import-results and setup",
    "pytracking.utils": "ltr.admin.checkpoint.load_network for weights, ltr.dataset.boxfile.read_boxes for text files, "
    "and a frozen dataclass for each tracker's parameters, such as pytracking.tracker.dimp.DiMPParameters",
    "pytracking.vot": "python -m pytracking vot: see docs/vot.md",
}


class _Signpost:
    """The last finder: only asked for modules that nothing else has found."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Raises ImportError, with what to use instead, for a name of `MOVED`; None for any other."""
        if name in MOVED:
            raise ImportError(f"{name} is PyTracking's; here: {MOVED[name]} (docs/from_pytracking.md)", name=name)
        return None


def install() -> None:
    """Let imports of `MOVED` names say what to use; once, however often it is called."""
    if _Signpost not in sys.meta_path:
        sys.meta_path.append(_Signpost)
