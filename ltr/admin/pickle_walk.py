"""A pickle of `torch.save` walked through as a list of operations, without making an object of it.

What it names, nests and declares is checked here, so that `torch.load(weights_only=True)`, which keeps it from running
code, cannot be made to exhaust memory or time by it either.
"""

from __future__ import annotations

import math
import pickletools
import re
from typing import Any, BinaryIO, NoReturn

from ltr.errors import CheckpointError

MAX_PICKLE_BYTES = 32 * 2**20
# A public checkpoint with its optimiser needs about 100 000.
_MAX_OPERATIONS = 500_000
_MAX_TUPLE_DEPTH, _MAX_TUPLE_LEAVES = 16, 1000
_MAX_DIMENSIONS = 8

# The storages that a pickle may name, by the bytes of a number in them.
_KINDS = {1: "Char Byte Bool", 2: "Half BFloat16 Short", 4: "Float Int", 8: "Double Long"}
_STORAGES = {f"torch {kind}Storage": size for size, kinds in _KINDS.items() for kind in kinds.split()}
_VIEWS = ("torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2")
NUMPY_FUNCTIONS = {
    f"numpy.{core}.multiarray {name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")
}
_NAMES = {
    *_STORAGES,
    *_VIEWS,
    *NUMPY_FUNCTIONS,
    "torch._utils _rebuild_parameter",
    "torch Size",
    "torch device",
    "collections OrderedDict",
    "_codecs encode",
    "numpy dtype",
    "numpy ndarray",
}
# PyTracking keeps its classes in `ltr`, OSTrack in `lib`; an object of any of them becomes a `Record`.
RECORD_NAME = re.compile(r"(ltr|lib)(\.[A-Za-z_]\w*)* [A-Za-z_]\w*", re.ASCII)

# What torch's own reader knows and a checkpoint needs; listed so that every release refuses the same files.
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1")
_TEXTS = ("BINUNICODE", "SHORT_BINSTRING")
_TUPLES = ("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
_PUTS, _GETS = ("BINPUT", "LONG_BINPUT"), ("BINGET", "LONG_BINGET")
_CONTAINERS = ("EMPTY_LIST", "EMPTY_DICT", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "REDUCE", "NEWOBJ", "BUILD")
_OTHERS = ("PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BINFLOAT", "GLOBAL", "BINPERSID")
_OPERATIONS = {*_NUMBERS, *_TEXTS, *_TUPLES, *_PUTS, *_GETS, *_CONTAINERS, *_OTHERS}


def refuse(message: str) -> NoReturn:
    """Raise the error for what a checkpoint may not hold; whoever reads the file adds its name."""
    raise CheckpointError(message)


class _Name(str):
    """A name that a pickle refers to, 'module attribute'."""


class _Storage(int):
    """A storage, as the number of numbers in it."""


class _Tuple(tuple[Any, ...]):
    """A tuple, how deep it nests, and how many items it has with those of the tuples in it."""

    depth: int
    leaves: int


_SHARED = object()  # an unknown value that the pickle has used before


class PickleWalk:
    """Follows what a pickle would put on its stack: numbers, strings, names, tuples of them; None for all else.

    Attributes:
        names: what it refers to.
        storages: key -> bytes that a storage must have.
        texts: the strings in it, in order.
        result: what it leaves on the stack.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.storages: dict[str, int] = {}
        self.texts: list[str] = []
        self.result: Any = None
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[Any, Any] = {}
        self._encoded = 0

    def through(self, stream: BinaryIO) -> None:
        """Read one pickle; the stream stands behind its last byte afterwards.

        Raises:
            CheckpointError: it refers to something, or declares something, that a checkpoint may not.
            ValueError, LookupError: it is malformed.
        """
        value = None
        for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            name = operation.name
            if name == "PROTO" and argument != 2:
                refuse(f"its pickle is of protocol {argument}, and torch.save writes protocol 2")
            if name not in _OPERATIONS:
                refuse(f"its pickle uses the operation {name}, which torch.save does not write")
            if count > _MAX_OPERATIONS:
                refuse(f"its pickle takes more than {_MAX_OPERATIONS} operations")
            if name == "MARK":
                self._marks.append(len(self._stack))
            elif name in _PUTS:
                self._memo[argument] = self._stack[-1]
            else:
                value = self._value(name, argument, self._take(operation.stack_before))
                if operation.stack_after:
                    self._stack.append(value)
        # The last operation is STOP.
        self.result = value

    def _value(self, name: str, argument: Any, taken: list[Any]) -> Any:
        """What an operation makes of the operands taken off the stack."""
        if name in _GETS:
            value = self._memo[argument]
            return _SHARED if value is None else value
        if name in _NUMBERS and argument.bit_length() > 128:
            refuse("its pickle holds an integer of more than 128 bits")
        if name in _TEXTS:
            self.texts.append(argument)
        if name in _NUMBERS or name in _TEXTS:
            return argument
        if name in _TUPLES:
            return _tuple(taken)
        if name == "GLOBAL":
            return self._name(argument)
        if name == "BINPERSID":
            return self._storage(taken[0])
        if name == "REDUCE":
            self._check_call(*taken)
        if name == "BUILD" and taken[1] is _SHARED:
            refuse("its pickle gives one state to several objects")
        return taken[0] if name == "STOP" else None

    def _take(self, kinds: list[Any]) -> list[Any]:
        """Take an operation's operands off the stack: so many, or as many as there are above the last mark."""
        stack = self._stack
        end = len(stack)
        if pickletools.markobject in kinds:
            end = self._marks.pop()
            kinds = kinds[: kinds.index(pickletools.markobject)]
        start = end - len(kinds)
        if start < (self._marks[-1] if self._marks else 0):
            raise LookupError("the stack is empty")
        taken = stack[start:]
        del stack[start:]
        return taken

    def _check_call(self, function: Any, arguments: Any) -> None:
        """What torch's reader would call must not copy more than there is in the file."""
        if not isinstance(function, _Name) or not isinstance(arguments, _Tuple):
            refuse("its pickle calls something that is not a name; nothing in it was executed")
        if function in _VIEWS:
            _check_view(arguments)
        elif function == "_codecs encode":
            if len(arguments) != 2 or type(arguments[0]) is not str or arguments[1] not in ("latin1", "latin-1"):
                refuse("its pickle encodes something that is not a string in latin1")
            self._encoded += len(arguments[0])
            if self._encoded > MAX_PICKLE_BYTES:
                refuse(f"its bytes take more than {MAX_PICKLE_BYTES} bytes")
        elif function == "collections OrderedDict" and arguments:
            refuse("its pickle fills an OrderedDict in a way that torch.save does not")
        elif function == "torch Size" and arguments.leaves > _MAX_DIMENSIONS + 1:
            refuse(f"it holds a size of more than {_MAX_DIMENSIONS} dimensions")

    def _name(self, text: str) -> _Name:
        if text not in _NAMES and not RECORD_NAME.fullmatch(text):
            refuse(
                f"it names the global {text.replace(' ', '.')[:200]!a}, which is not among the few that a checkpoint "
                "may name; nothing in it was executed"
            )
        self.names.add(text)
        return _Name(text)

    def _storage(self, reference: Any) -> _Storage:
        items = reference if isinstance(reference, _Tuple) else ()
        if not 5 <= len(items) <= 6 or items[0] != "storage" or not isinstance(items[1], _Name):
            refuse("its pickle refers to something outside it that is not a storage")
        if len(items) == 6 and items[5] is not None:
            refuse("it holds a view of a storage as torch before 0.4 wrote it; save it again")
        _, kind, key, _, count = items[:5]
        if kind not in _STORAGES or type(key) is not str or type(count) is not int or not 0 <= count < 2**48:
            refuse("it holds a storage whose type, key or size is malformed")
        needed = count * _STORAGES[kind]
        if self.storages.setdefault(key, needed) != needed:
            refuse(f"it describes storage {key[:100]!a} in two ways")
        return _Storage(count)


def _tuple(items: list[Any]) -> _Tuple:
    made = _Tuple(items)
    inner = [item for item in items if isinstance(item, _Tuple)]
    made.depth = 1 + max((item.depth for item in inner), default=0)
    made.leaves = len(items) + sum(item.leaves for item in inner)
    if made.depth > _MAX_TUPLE_DEPTH or made.leaves > _MAX_TUPLE_LEAVES:
        refuse(
            f"its pickle nests tuples deeper than {_MAX_TUPLE_DEPTH} or larger than {_MAX_TUPLE_LEAVES}, as no "
            "checkpoint does"
        )
    return made


def _check_view(items: _Tuple) -> None:
    """A tensor must lie within its storage, no number of it at two places."""
    if len(items) < 4 or not isinstance(items[0], _Storage):
        refuse("a tensor in it has no storage")
    storage, offset = items[0], items[1]
    sizes, strides = (list(item) if isinstance(item, _Tuple) else [-1] for item in items[2:4])
    if not all(type(value) is int and 0 <= value < 2**48 for value in (offset, *sizes, *strides)):
        refuse("a tensor in it has a size or stride that is not a tuple of natural numbers")
    if len(sizes) != len(strides) or len(sizes) > _MAX_DIMENSIONS:
        refuse(f"a tensor in it has more than {_MAX_DIMENSIONS} dimensions, or not as many strides")
    reach = 0
    for stride, count in sorted((stride, count) for stride, count in zip(strides, sizes) if count > 1):
        if stride <= reach:
            refuse(f"a tensor in it, of size {sizes}, has one number at several places")
        reach += (count - 1) * stride
    # An empty tensor needs no storage, but its size may not be absurd either.
    fits = math.prod(sizes) == 0 or offset + reach < storage
    if not fits or math.prod(max(value, 1) for value in sizes) > max(storage, 2**31):
        refuse(f"a tensor in it, of size {sizes}, does not lie within its storage of {storage} numbers")
