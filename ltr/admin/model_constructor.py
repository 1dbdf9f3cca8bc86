"""The networks that may be built by name: an allow-list, so that a checkpoint can name a network but not run code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ltr.errors import UserError, check_names
from ltr.models.bbreg import atom
from ltr.models.tracking import dimpnet, ostrack

CONSTRUCTORS: dict[str, Callable[..., nn.Module]] = {
    "dimpnet18": dimpnet.dimpnet18,
    "dimpnet50": dimpnet.dimpnet50,
    "klcedimpnet18": dimpnet.klcedimpnet18,
    "klcedimpnet50": dimpnet.klcedimpnet50,
    "atom_resnet18": atom.atom_resnet18,
    "dimpnet_lite0": dimpnet.dimpnet_lite0,
    "ostrack": ostrack.ostrack,
    "ostrack_energy": ostrack.ostrack_energy,
}


# Bounds of what a file may ask for, so that a forged one cannot exhaust the memory; several times what any network has.
_LARGEST = {
    "clf_feat_blocks": 4,
    "filter_size": 64,
    "optim_iter": 1000,
    "num_dist_bins": 10_000,
    "depth": 32,
    "width": 1280,
}
_LARGEST_OTHER = 2048


@dataclass(frozen=True)
class NetworkConstructor:
    """Which network to build: a name of `CONSTRUCTORS` and its keyword arguments (plain JSON values)."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def build(self, **changes: Any) -> nn.Module:
        """Build the network, with `changes` over the stored arguments.

        Raises:
            ValueError: for a name that is not in the allow-list, or an argument that the constructor does not take or
                that is out of all proportion.
        """
        check_names("network constructor", [self.name], CONSTRUCTORS)
        function = CONSTRUCTORS[self.name]
        arguments = {**self.arguments, **changes}
        for key, value in arguments.items():
            largest = _LARGEST.get(key, _LARGEST_OTHER)
            if isinstance(value, (int, float)) and not abs(value) <= largest:
                raise UserError(f"network '{self.name}' cannot be built: {key} may be {largest} at most")
        try:
            inspect.signature(function).bind(**arguments)
            return function(**arguments)
        except (TypeError, ArithmeticError) as error:
            raise UserError(f"network '{self.name}' cannot be built: {error}") from error


def plain_argument(key: str, value: Any) -> Any:
    """An argument of a constructor as a file gives it: a number, a string, None, or a list of strings or whole numbers.

    Raises:
        UserError: anything else, named by its type alone, since the text of a forged value may have no end.
    """
    if type(value) in (list, tuple) and len(value) <= 64 and all(type(item) in (str, int) for item in value):
        return list(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise UserError(
        f"its constructor's argument {ascii(key)[1:-1][:100]} is a {type(value).__name__}, not a number, a string or a "
        "list of strings or whole numbers"
    )


@dataclass
class NetConstructor:
    """How PyTracking's checkpoints say which network to build; pickled there by reference to this module and name.

    Only ever written, with names of ours (`ltr.admin.public_constructor`); in a file that is read it is plain data.

    Attributes:
        fun_name, fun_module: a function, such as 'dimpnet50' in 'ltr.models.tracking.dimpnet'.
        args, kwds: its arguments.
    """

    fun_name: str
    fun_module: str
    args: tuple[Any, ...]
    kwds: dict[str, Any]
