"""Errors for unknown names that say which known name is nearest."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that is not registered: names the nearest one, else lists what there is.

    Args:
        kind: what the name stands for, such as 'data set'.
        name: the unknown name.
        known: the names there are; upper and lower case count as alike.
    """
    choices = sorted(set(known))
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    if near:
        return f"unknown {kind} '{name}'; did you mean '{folded[near[0]]}'?"
    if not choices:
        return f"unknown {kind} '{name}'; there is none"
    return f"unknown {kind} '{name}'; choose from {', '.join(choices)}"


def replace_fields(settings: T, changes: dict[str, Any]) -> T:
    """`dataclasses.replace` that names the nearest field for an unknown one.

    Raises:
        ValueError: for a field that the dataclass does not have.
    """
    fields = {field.name for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    for key in changes:
        if key not in fields:
            raise ValueError(unknown_name(f"setting of {type(settings).__name__}", key, fields))
    return dataclasses.replace(settings, **changes)  # type: ignore[type-var]
