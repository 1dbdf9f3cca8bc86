"""A pickle stream read as data: an interpreter of the pickle operations that torch.save writes, which calls nothing.

Python's own unpickler calls what a file names. This one imports no module and looks up no attribute: a global is a
string that is either in a short table of pure functions below, or names a class of `ltr.admin`, whose objects become
plain `Record`s; anything else ends the reading. Protocols 2 to 5 are read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from ltr.torchfile.records import FUNCTIONS, STORAGE_TYPES, Global, Record, TorchFileError, build

MAX_PICKLE_BYTES = 32 * 2**20
# A public checkpoint with its optimiser needs about 100 000.
MAX_OPERATIONS = 4_000_000
_LONGEST_LINE = 256
_INERT_CLASSES = "ltr.admin."
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_NAME = re.compile(r"[A-Za-z_]\w*")

PersistentLoad = Callable[[Any], Any]


@dataclass(frozen=True)
class _Sized:
    """Bytes that follow a length."""

    length: str


class _Source:
    """Bounded reads from a stream: a length in the file cannot make us allocate more than the file may hold."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = MAX_PICKLE_BYTES

    def _taken(self, count: int) -> None:
        if count > self._left:
            raise TorchFileError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes, or declares to be")
        self._left -= count

    def read(self, count: int) -> bytes:
        self._taken(count)
        data = self._stream.read(count)
        if len(data) != count:
            raise TorchFileError("it is cut off in the middle of its pickle")
        return data

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.read(struct.calcsize(layout)))[0]

    def line(self) -> str:
        data = self._stream.readline(_LONGEST_LINE)
        self._taken(len(data))
        if not data.endswith(b"\n"):
            raise TorchFileError("it is cut off in the middle of its pickle, or a name in it has no end")
        return data[:-1].decode("utf-8")


def read_pickle(stream: BinaryIO, persistent_load: PersistentLoad | None = None) -> Any:
    """The object of one pickle, as plain containers, numbers, strings, `Record`s and `StoredTensor`s.

    Args:
        stream: stands behind the pickle's last byte afterwards.
        persistent_load: turns a persistent id (torch: a storage) into a value; must not execute what it is given.

    Raises:
        TorchFileError: the pickle names a global or does something that is not allowed, is too large, or malformed.
    """
    try:
        return _Interpreter(_Source(stream), persistent_load).run()
    except (IndexError, KeyError, TypeError, struct.error, UnicodeDecodeError) as error:
        raise TorchFileError(f"its pickle is malformed ({type(error).__name__}: {error})") from error


class _Interpreter:
    def __init__(self, source: _Source, persistent_load: PersistentLoad | None) -> None:
        self.source = source
        self.persistent_load = persistent_load
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.work = 0

    def spend(self, amount: int) -> None:
        """Count work: one for an operation, and the size of what an operation copies."""
        self.work += amount
        if self.work > MAX_OPERATIONS:
            raise TorchFileError(f"its pickle takes more than {MAX_OPERATIONS} operations")

    def run(self) -> Any:
        while True:
            code = self.source.read(1)[0]
            self.spend(1)
            if code == _STOP:
                break
            if code in _CONSTANTS:
                self.push(_CONSTANTS[code])
            elif code in _ARGUMENTS:
                self.push(self.argument(_ARGUMENTS[code]))
            elif code in _ACTIONS:
                _ACTIONS[code](self)
            else:
                raise TorchFileError(
                    f"its pickle uses the operation {bytes([code])!r}, which torch.save does not write"
                )
        return self.stack.pop()

    def push(self, value: Any) -> None:
        """Not `stack.append`: a mark exchanges the stack itself."""
        self.stack.append(value)

    def argument(self, layout: str | _Sized) -> Any:
        if isinstance(layout, str):
            return self.source.number(layout)
        return self.source.read(self.source.number(layout.length))

    def since_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.below.pop()
        return items

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def text(self, length: str) -> None:
        self.push(self.argument(_Sized(length)).decode("utf-8"))

    def long(self) -> None:
        size = self.source.number("<B")
        if size > 16:
            raise TorchFileError("its pickle holds an integer of more than 128 bits")
        self.push(int.from_bytes(self.source.read(size), "little", signed=True))

    def tuple_of(self, count: int) -> None:
        if count > len(self.stack):
            raise IndexError("stack is empty")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.push(items)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TorchFileError(f"its pickle appends to a {type(target).__name__}")
        target.extend(items)

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not set:
            raise TorchFileError(f"its pickle adds set members to a {type(target).__name__}")
        target.update(_keys(items))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise TorchFileError(f"its pickle sets items of a {type(target).__name__}")
        if len(items) % 2:
            raise TorchFileError("its pickle is malformed (a key without a value)")
        target.update(zip(_keys(items[::2]), items[1::2]))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def global_name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TorchFileError("its pickle names a global by something that is not a string")
        full = f"{module}.{name}"
        plain = _MODULE.fullmatch(module) and _NAME.fullmatch(name)
        known = full in FUNCTIONS or full in STORAGE_TYPES or full == "numpy.ndarray"
        if not plain or not (known or full.startswith(_INERT_CLASSES)):
            raise TorchFileError(
                f"it names the global {full[:200]!a}, which is not among the few that a checkpoint may name; "
                "nothing in it was executed"
            )
        self.push(Global(full))

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.global_name(module, name)

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or type(arguments) is not tuple:
            raise TorchFileError(f"its pickle calls a {type(function).__name__}; nothing in it was executed")
        if function.name not in FUNCTIONS:
            raise TorchFileError(f"its pickle calls '{function.name}'; nothing in it was executed")
        self.spend(sum(len(value) for value in arguments if isinstance(value, (list, tuple, str, bytes))))
        self.push(FUNCTIONS[function.name](*arguments))

    def new_object(self) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        inert = isinstance(cls, Global) and cls.name.startswith(_INERT_CLASSES)
        if not inert or arguments != ():
            what = f"'{cls.name}'" if isinstance(cls, Global) else f"a {type(cls).__name__}"
            raise TorchFileError(f"its pickle makes an object of {what} in a way that is not plain data")
        self.push(Record(cls.name))

    def build_object(self) -> None:
        state = self.stack.pop()
        if isinstance(state, (dict, tuple)):
            self.spend(len(state))
        build(self.stack[-1], state)

    def persistent(self) -> None:
        if self.persistent_load is None:
            raise TorchFileError("its pickle refers to a storage where none can be")
        self.push(self.persistent_load(self.stack.pop()))


def _keys(items: list[Any]) -> list[Any]:
    """Scalars only: hashing a deeply nested tuple can overflow the interpreter's stack."""
    for item in items:
        if not (item is None or type(item) in (str, int, float, bool, bytes)):
            raise TorchFileError(f"its pickle uses a {type(item).__name__} as a key")
    return items


_STOP = ord(".")
_CONSTANTS: dict[int, Any] = {ord("N"): None, 0x88: True, 0x89: False, ord(")"): ()}
# Operations that push a number or bytes of the stream.
_ARGUMENTS: dict[int, str | _Sized] = {
    ord("J"): "<i",
    ord("K"): "<B",
    ord("M"): "<H",
    ord("G"): ">d",
    ord("B"): _Sized("<I"),
    ord("C"): _Sized("<B"),
}
_ACTIONS: dict[int, Callable[[_Interpreter], Any]] = {
    0x80: lambda vm: vm.source.read(1),  # PROTO: its operations tell
    0x95: lambda vm: vm.source.read(8),  # FRAME: a hint for buffering
    ord("("): _Interpreter.mark,
    ord("0"): lambda vm: vm.stack.pop(),
    ord("1"): _Interpreter.since_mark,
    0x8A: _Interpreter.long,
    ord("X"): lambda vm: vm.text("<I"),
    0x8C: lambda vm: vm.text("<B"),
    ord("]"): lambda vm: vm.push([]),
    ord("}"): lambda vm: vm.push({}),
    0x8F: lambda vm: vm.push(set()),
    ord("t"): lambda vm: vm.push(tuple(vm.since_mark())),
    0x85: lambda vm: vm.tuple_of(1),
    0x86: lambda vm: vm.tuple_of(2),
    0x87: lambda vm: vm.tuple_of(3),
    0x91: lambda vm: vm.push(frozenset(_keys(vm.since_mark()))),
    ord("a"): lambda vm: vm.extend([vm.stack.pop()]),
    ord("e"): lambda vm: vm.extend(vm.since_mark()),
    ord("s"): lambda vm: vm.set_items([vm.stack.pop(-2), vm.stack.pop()]),
    ord("u"): lambda vm: vm.set_items(vm.since_mark()),
    0x90: lambda vm: vm.add(vm.since_mark()),
    ord("c"): lambda vm: vm.global_name(vm.source.line(), vm.source.line()),
    0x93: _Interpreter.stack_global,
    ord("R"): _Interpreter.reduce,
    0x81: _Interpreter.new_object,
    ord("b"): _Interpreter.build_object,
    ord("Q"): _Interpreter.persistent,
    ord("q"): lambda vm: vm.put(vm.source.number("<B")),
    ord("r"): lambda vm: vm.put(vm.source.number("<I")),
    0x94: lambda vm: vm.put(len(vm.memo)),
    ord("h"): lambda vm: vm.push(vm.memo[vm.source.number("<B")]),
    ord("j"): lambda vm: vm.push(vm.memo[vm.source.number("<I")]),
}
