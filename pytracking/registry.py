"""Trackers by name: finds a parameter file, applies overrides and creates the tracker.

A parameter file is `pytracking/parameter/<tracker>/<parameter>.py` with a function `parameters()` that returns a frozen
dataclass, or one module `pytracking/parameter/<tracker>.py` with `descriptions()` (name -> its first line) and
`parameters(name)`; `pytracking.tracker.<tracker>` has a function `create(params)`. Nothing is registered by hand, and
nothing is imported before it is asked for.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ltr.errors import UserError, replace_fields, unknown_name
from pytracking.networks import find_network
from pytracking.tracker.inputs import COLOURS, as_image

if TYPE_CHECKING:
    from pytracking.tracker.base import Tracker, TrackResult


def list_trackers() -> dict[str, list[str]]:
    """All tracker names, each with its parameter names, both in alphabetical order.

    >>> list_trackers()["opencv"]
    ['csrt', 'dasiamrpn', 'goturn', 'kcf', 'medianflow', 'mil', 'mosse', 'nano', 'vit']
    """
    package = importlib.import_module("pytracking.parameter")
    trackers = {}
    for folder in pkgutil.iter_modules(package.__path__):
        if not folder.ispkg:
            trackers[folder.name] = sorted(_table(folder.name).descriptions())
        else:
            files = pkgutil.iter_modules([f"{path}/{folder.name}" for path in package.__path__])
            names = [file.name for file in files if not file.ispkg and not file.name.startswith("_")]
            if names:
                trackers[folder.name] = sorted(names)
    return dict(sorted(trackers.items()))


def find_tracker(parameter: str, tracker: str | None = None) -> tuple[str, str]:
    """The (tracker, parameter) pair that a name stands for.

    Args:
        parameter: a parameter name, such as 'dimp_nceplus_lite'.
        tracker: the tracker's name; found by searching the parameter folders when left out.

    Raises:
        UserError: no such tracker or parameter (the nearest is named), or several trackers have this parameter.
    """
    trackers = list_trackers()
    if tracker is not None:
        if tracker not in trackers:
            raise unknown_name("tracker", tracker, trackers)
        if parameter not in trackers[tracker]:
            raise unknown_name(f"parameter of tracker '{tracker}'", parameter, trackers[tracker])
        return tracker, parameter
    owners = [name for name, parameters in trackers.items() if parameter in parameters]
    if not owners:
        raise unknown_name("parameter", parameter, [name for names in trackers.values() for name in names])
    if len(owners) > 1:
        raise UserError(f"parameter '{parameter}' exists for the trackers {', '.join(owners)}; name one of them")
    return owners[0], parameter


def describe_parameters(tracker: str, parameter: str) -> str:
    """The first line of a parameter file's docstring, read without running the file; '' where it has none."""
    if not _is_package(tracker):
        description: str = _table(tracker).descriptions()[parameter]
        return description
    specification = importlib.util.find_spec(f"pytracking.parameter.{tracker}.{parameter}")
    if specification is None or specification.origin is None:
        raise unknown_name(f"parameter of tracker '{tracker}'", parameter, list_trackers().get(tracker, []))
    document = ast.get_docstring(ast.parse(Path(specification.origin).read_text(encoding="utf-8")))
    return (document or "").partition("\n")[0]


def file_parameters(parameter: str, tracker: str | None = None) -> Any:
    """The parameters of a tracker as its parameter file gives them, whatever its network states.

    Raises:
        UserError: unknown tracker or parameter (the nearest is named).
    """
    tracker, parameter = find_tracker(parameter, tracker)
    if _is_package(tracker):
        return importlib.import_module(f"pytracking.parameter.{tracker}.{parameter}").parameters()
    return _table(tracker).parameters(parameter)


def load_parameters(parameter: str, tracker: str | None = None, **overrides: Any) -> Any:
    """The parameters of a tracker, a frozen dataclass, with some fields replaced.

    What the network's header or card states (`tracking_settings`) stands where the parameter file has its class's
    default. A network given by the override `net_path` is another than the parameter file was written for, so what it
    states goes before the file too; one that states nothing is taken for the file's own. Overrides go before all.

    Raises:
        UserError: unknown tracker or parameter, an override that is not a field (the nearest is named), or a network
            that states something that is none of the tracker's parameters.
    """
    tracker, parameter = find_tracker(parameter, tracker)
    params = file_parameters(parameter, tracker)
    try:
        given = replace_fields(params, overrides)
    except ValueError as error:
        raise UserError(f"{tracker}/{parameter}: {error}") from None
    named = set(overrides)
    path = _network(given)
    learned = _learned(path)
    if not learned or overrides.get("net_path") is None:
        path = _network(params)
        learned = _learned(path)
        if learned:
            named |= {name for name, default in vars(type(params)()).items() if getattr(params, name) != default}
    try:
        return replace_fields(given, {name: value for name, value in learned.items() if name not in named})
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}, for {tracker}/{parameter}: {error}") from None


def _learned(path: Path | None) -> dict[str, Any]:
    """What a network states of how it was trained."""
    if path is None:
        return {}
    # It brings torch, which a worker whose trackers have no network can do without.
    from ltr.admin.checkpoint import tracking_settings

    return tracking_settings(path)


def _network(params: Any) -> Path | None:
    """The network that parameters name, None where they name none or it is not there."""
    if getattr(params, "net_path", None) is not None:
        return Path(params.net_path).expanduser()
    return find_network(params.net_name) if hasattr(params, "net_name") else None


def _table(tracker: str) -> ModuleType:
    """The module that holds all parameters of a tracker."""
    return importlib.import_module(f"pytracking.parameter.{tracker}")


def _is_package(tracker: str) -> bool:
    return hasattr(_table(tracker), "__path__")


def create_tracker(tracker: str, params: Any) -> Tracker:
    """Create a tracker from its parameters (see `load_parameters`)."""
    created: Tracker = importlib.import_module(f"pytracking.tracker.{tracker}").create(params)
    return created


class _TrackerOfBGR:
    """A tracker whose arrays and tensors are BGR; everything else is the tracker's own."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def initialize(self, image: Any, box: Any) -> TrackResult:
        return self._tracker.initialize(as_image(image, "bgr"), box)

    def track(self, image: Any) -> TrackResult:
        return self._tracker.track(as_image(image, "bgr"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracker, name)


def load_tracker(parameter: str, tracker: str | None = None, *, color: str = "rgb", **overrides: Any) -> Tracker:
    """Create a tracker by name.

    Args:
        parameter: a parameter name, such as 'dimp_nceplus_lite' or 'kcf'.
        tracker: the tracker's name, needed only where two trackers have a parameter of that name.
        color: order of the channels of the arrays that it will be given, 'rgb', or 'bgr' as OpenCV reads them.
        overrides: fields of the parameters to replace.

    Raises:
        UserError: unknown tracker, parameter or override (the nearest is named), or an ambiguous parameter.

    >>> import numpy as np
    >>> kcf = load_tracker("kcf")
    >>> kcf.initialize(np.zeros((120, 160, 3), np.uint8), (40, 30, 50, 40)).box
    (40.0, 30.0, 50.0, 40.0)
    """
    tracker, parameter = find_tracker(parameter, tracker)
    if color not in COLOURS:
        raise unknown_name("color", color, COLOURS)
    created = create_tracker(tracker, load_parameters(parameter, tracker, **overrides))
    return _TrackerOfBGR(created) if color == "bgr" else created
