"""Errors for unknown names that say which known name is nearest."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One line: what is unknown, what was probably meant, what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown {kind} '{name}'{hint} There are: {', '.join(names) or 'none'}"


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
