"""What a pickle may hold beside plain containers: tensors by reference, objects as data, and the few functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

# What a pickle names a storage's type; the names are never called.
STORAGE_TYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
_ARRAY_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_MAX_DIMENSIONS = 8


class TorchFileError(ValueError):
    """A file of torch.save that is refused, cut off or malformed. The message says why, without the file's name."""


@dataclass(frozen=True)
class Global:
    """A name that a pickle refers to, 'module.attribute'. Never looked up."""

    name: str


class Record(dict[str, Any]):
    """The attributes of an object as a dict; `class_name` is what the file calls its class."""

    def __init__(self, class_name: str) -> None:
        super().__init__()
        self.class_name = class_name


@dataclass(frozen=True)
class Storage:
    """A storage of the file: `count` numbers of type `dtype`, found under `key`."""

    dtype: torch.dtype
    key: str
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read yet: offset, size and stride in a storage, in numbers."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _natural_numbers(values: Any) -> tuple[int, ...]:
    if type(values) is not tuple or not all(type(value) is int and 0 <= value < 2**62 for value in values):
        raise TorchFileError("a tensor in it has a size or stride that is not a tuple of natural numbers")
    if len(values) > _MAX_DIMENSIONS:
        raise TorchFileError(f"a tensor in it has more than {_MAX_DIMENSIONS} dimensions")
    return values


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:
    """A tensor that lies in its storage and has no number twice; what follows the stride (gradients) is left out."""
    if not isinstance(storage, Storage):
        raise TorchFileError("a tensor in it has no storage")
    (start,), sizes, strides = _natural_numbers((offset,)), _natural_numbers(size), _natural_numbers(stride)
    if len(sizes) != len(strides):
        raise TorchFileError("a tensor in it has a size and a stride of different lengths")
    count = math.prod(sizes)
    last = start + sum((n - 1) * step for n, step in zip(sizes, strides)) if count else start - 1
    if last >= storage.count or count > storage.count:
        raise TorchFileError(
            f"a tensor in it, of size {sizes}, does not lie within its storage {storage.key[:100]!a}, which has "
            f"{storage.count} numbers"
        )
    return StoredTensor(storage, start, sizes, strides)


def _parameter(data: Any, *_: Any) -> StoredTensor:
    if not isinstance(data, StoredTensor):
        raise TorchFileError("a parameter in it is not a tensor")
    return data


def _ordered_dict() -> dict[Any, Any]:
    """Dicts keep their order; what torch.save puts into one comes later, item by item."""
    return {}


def _size(values: Any) -> tuple[int, ...]:
    return _natural_numbers(values)


def _bytes(text: Any = "", encoding: Any = "latin1") -> bytes:
    """How protocol 2 spells bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TorchFileError("its pickle encodes something that is not a string in latin1")
    try:
        return text.encode("latin1")
    except UnicodeEncodeError as error:
        raise TorchFileError("its pickle encodes a string in latin1 that has other characters") from error


def _members(values: Any) -> list[Any]:
    if type(values) is not list or not all(value is None or type(value) in (str, int, float, bool) for value in values):
        raise TorchFileError("a set in it has members that are not plain")
    return values


def _array_type(code: Any, *_: Any) -> Record:
    if code not in _ARRAY_CODES:
        raise TorchFileError("it holds a numpy array or number of a type that is not a plain number")
    record = Record("numpy.dtype")
    record["code"] = code
    return record


def _is_array_type(value: Any) -> bool:
    return isinstance(value, Record) and value.class_name == "numpy.dtype"


def _number(dtype: Any, data: Any) -> Any:
    """A numpy number as Python's."""
    if not _is_array_type(dtype) or type(data) is not bytes or len(data) != np.dtype(dtype["code"]).itemsize:
        raise TorchFileError("it holds a numpy number that is malformed")
    return np.frombuffer(data, f"<{dtype['code']}")[0].item()


def _array(kind: Any, *_: Any) -> Record:
    if kind != Global("numpy.ndarray"):
        raise TorchFileError("it holds a numpy array that is malformed")
    return Record("numpy.ndarray")


# The functions that torch.save's pickles call, by every name they have had. They are ours: none calls its arguments.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "_codecs.encode": _bytes,
    **{f"{module}.bytes": _bytes for module in ("builtins", "__builtin__")},
    **{f"{module}.set": lambda values: set(_members(values)) for module in ("builtins", "__builtin__")},
    **{f"{module}.frozenset": lambda values: frozenset(_members(values)) for module in ("builtins", "__builtin__")},
    "numpy.dtype": _array_type,
    **{f"numpy.{core}.multiarray.scalar": _number for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": _array for core in ("core", "_core")},
}


def build(target: Any, state: Any) -> None:
    """Give an object its state, as pickle's BUILD does, without calling anything of the object's.

    Raises:
        TorchFileError: `target` is nothing that has a state, or the state is not a plain dict of attributes.
    """
    if isinstance(target, Record) and target.class_name.startswith("numpy."):
        _build_numpy(target, state)
    elif isinstance(target, Record):
        if type(state) is not dict or not all(type(name) is str for name in state):
            raise TorchFileError(f"the state of a '{target.class_name}' in it is not a plain dict of attributes")
        target.update(state)
    elif type(target) is not dict or type(state) is not dict:
        # A dict with a state is a state dict with its `_metadata`, which says nothing that a network needs.
        what = f"'{target.name}'" if isinstance(target, Global) else f"a {type(target).__name__}"
        raise TorchFileError(f"its pickle sets the state of {what}; nothing in it was executed")


def _build_numpy(target: Record, state: Any) -> None:
    if type(state) is not tuple or len(state) < 5:
        raise TorchFileError("it holds a numpy array that is malformed")
    if target.class_name == "numpy.dtype":
        if state[1] not in ("<", "|", "="):
            raise TorchFileError("it holds a numpy array that is not little-endian")
        return
    _, shape, dtype, _, data = state[:5]
    if not _is_array_type(dtype) or type(data) is not bytes:
        raise TorchFileError("it holds a numpy array that is not of plain numbers")
    target.update(shape=_natural_numbers(shape), dtype=dtype["code"], data=data)
