"""What stands between libtrax and the other side, which may send input that is cut off or malformed: libtrax then grows
without end, or crashes.

Only whole and well-formed messages pass, of a bounded length. libtrax waits for more wherever a message is open and
where an `initialize` has no frame yet, so where the input ends or breaks a rule, it is told to quit.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ltr.errors import UserError, printable

_PREFIX = b"@@TRAX:"
_QUIT = _PREFIX + b"quit"
CLIENT = (b"initialize", b"frame", b"quit")
PROGRAM = (b"hello", b"state", b"quit")
# Matched once escapes are replaced: every quote left begins or ends an argument. At an empty one libtrax crashes.
_WHOLE = re.compile(rb'([a-z]+)((?: +(?:"[^"\0]+"|[^\s"\0]+))*)[ \r]*')
_MOST_ARGUMENTS = 10_000
# Objects to track: libtrax gathers them until a frame comes.
_MOST_STARTS = 1000
# Pixels and encoded files are sent in the line; everything else is short.
_LONGEST = 256 * 2**20
_LONGEST_WITHOUT_IMAGE = 2**20
_IMAGE_MARKS = (b'"image:', b'"data:')
_MARK_WITHIN = 4096
_CHUNK = 2**16


class Guard:
    """Checks the other side's input on its way to libtrax.

    Args:
        messages: what the other side may say, `CLIENT` or `PROGRAM`.

    Attributes:
        problem: what ended the input, one line; '' while nothing did, or where the other side said quit.
    """

    def __init__(self, messages: tuple[bytes, ...] = CLIENT) -> None:
        self.problem = ""
        self._messages = messages
        self._starts = 0

    def pump(self, read: Callable[[], bytes], write: Callable[[bytes], object], close: Callable[[], object]) -> None:
        """Pass messages from `read` to `write` until a quit, or the input ends or breaks a rule; then `close`.

        What is no message, such as a log's line, is left out. The last that is written is a quit in any case.
        """
        pending = bytearray()
        try:
            while chunk := read():
                pending += chunk
                end = pending.rfind(b"\n", len(pending) - len(chunk)) + 1
                lines = bytes(pending[:end]).split(b"\n")
                del pending[:end]
                for line in lines:
                    self.problem = self._check(line)
                    if self.problem:
                        return
                    if line.startswith(_PREFIX):
                        write(line.rstrip(b"\r") + b"\n")
                    if line.startswith(_QUIT):
                        return
                self.problem = self._check_beginning(pending)
                if self.problem:
                    return
            self.problem = f"its last message is cut off after {len(pending)} bytes" if pending else "it sent no more"
        except OSError as error:
            self.problem = str(error.strerror)
        finally:
            if self.problem:
                with suppress(OSError):
                    write(_QUIT + b"\n")
            close()

    def on_pipe(self) -> None:
        """Put the guard in front of descriptor 0."""
        target = self.behind(os.dup(0))
        os.dup2(target, 0)
        os.close(target)

    def behind(self, source: int) -> int:
        """What libtrax is to read from instead of the descriptor `source`, which is closed at its end."""
        target, write_end = os.pipe()

        def close() -> None:
            os.close(write_end)
            os.close(source)

        read, write = partial(os.read, source, _CHUNK), partial(_write_all, write_end)
        threading.Thread(target=self.pump, args=(read, write, close), daemon=True).start()
        return target

    def on_socket(self, port: int) -> int:
        """Connect to the client's port, and return one of our own for libtrax to connect to, with the guard between.

        Raises:
            UserError: nobody listens at the port.
        """
        try:
            client = socket.create_connection(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"TRAX_SOCKET={port}: no TraX client listens at this port: {error.strerror}") from None
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            ours, _ = listener.accept()
            listener.close()
            threading.Thread(target=_answers, args=(ours, client), daemon=True).start()
            self.pump(lambda: client.recv(_CHUNK), ours.sendall, lambda: ours.shutdown(socket.SHUT_WR))

        threading.Thread(target=serve, daemon=True).start()
        number: int = listener.getsockname()[1]
        return number

    def _check(self, line: bytes) -> str:
        """What is wrong with a whole line."""
        problem = self._check_beginning(line)
        if problem or not line.startswith(_PREFIX):
            return problem
        # libtrax reads on behind a quote that is not closed.
        message = line[len(_PREFIX) :].replace(b"\\\\", b"..").replace(b'\\"', b"..")
        if message.count(b" ") > _MOST_ARGUMENTS:
            return f"a message of more than {_MOST_ARGUMENTS} arguments"
        whole = _WHOLE.fullmatch(message)
        if whole is None or whole[1] not in self._messages:
            return f"a malformed message, '{printable(line[:60].decode(errors='replace'))}'"
        self._starts = self._starts + 1 if whole[1] == b"initialize" else 0
        if self._starts > _MOST_STARTS:
            return f"{self._starts} initialisations without a frame"
        return "a frame without an image" if whole[1] == b"frame" and not whole[2] else ""

    def _check_beginning(self, line: bytes | bytearray) -> str:
        """What is wrong with the beginning of a line, which may be all of it."""
        said = bytes(line[len(_PREFIX) :][:20]).split(b" ")[0].strip()
        if line.startswith(_PREFIX) and not any(known.startswith(said) for known in self._messages):
            return f"'{printable(said.decode(errors='replace'))}' is no message that is expected"
        if len(line) <= _LONGEST_WITHOUT_IMAGE:
            return ""
        if not line.startswith(_PREFIX):
            return f"a line of {len(line)} bytes that is no TraX message"
        if len(line) > _LONGEST:
            return f"a message of more than {_LONGEST} bytes"
        if not any(mark in line[:_MARK_WITHIN] for mark in _IMAGE_MARKS):
            return f"a message of {len(line)} bytes without an image"
        return ""


def _answers(ours: socket.socket, client: socket.socket) -> None:
    """Pass libtrax's answers on as they are."""
    with suppress(OSError):
        while chunk := ours.recv(_CHUNK):
            client.sendall(chunk)
        client.shutdown(socket.SHUT_WR)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
