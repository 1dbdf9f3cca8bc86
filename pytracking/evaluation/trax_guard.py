"""What stands between a TraX client and libtrax, which grows without end on input that is cut off or malformed.

Only whole lines pass, of a bounded length; where the input ends or breaks a bound, libtrax sees its client gone.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from ltr.errors import UserError

_PREFIX = b"@@TRAX:"
# What a client may say.
_MESSAGES = (b"initialize", b"frame", b"quit")
# Pixels and encoded files are sent in the line; everything else is short.
_LONGEST = 256 * 2**20
_LONGEST_WITHOUT_IMAGE = 2**20
_IMAGE_MARKS = (b'"image:', b'"data:')
_MARK_WITHIN = 4096
_CHUNK = 2**16


class Guard:
    """Checks a client's input on its way to libtrax.

    Attributes:
        problem: what ended the input, one line; '' while nothing did, or where it ended with a whole message.
    """

    def __init__(self) -> None:
        self.problem = ""

    def pump(self, read: Callable[[], bytes], write: Callable[[bytes], object], close: Callable[[], object]) -> None:
        """Pass whole lines from `read` to `write` until the input ends or breaks a bound, then `close`."""
        pending = bytearray()
        with suppress(OSError):
            while chunk := read():
                pending += chunk
                end = pending.rfind(b"\n", len(pending) - len(chunk)) + 1
                lines = pending[:end].splitlines() if end else []
                problems = [_problem(pending[end:]), *map(_problem, lines)]
                self.problem = next(filter(None, problems), "")
                if self.problem:
                    break
                if end:
                    write(bytes(pending[:end]))
                    del pending[:end]
            if pending and not self.problem:
                self.problem = f"its last message is cut off after {len(pending)} bytes"
        close()

    def on_pipe(self) -> None:
        """Put the guard in front of descriptor 0."""
        source = os.dup(0)
        target, write_end = os.pipe()
        os.dup2(target, 0)
        os.close(target)
        threading.Thread(
            target=self.pump,
            args=(
                lambda: os.read(source, _CHUNK),
                lambda data: _write_all(write_end, data),
                lambda: os.close(write_end),
            ),
            daemon=True,
        ).start()

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


def _answers(ours: socket.socket, client: socket.socket) -> None:
    """Pass libtrax's answers on as they are."""
    with suppress(OSError):
        while chunk := ours.recv(_CHUNK):
            client.sendall(chunk)
        client.shutdown(socket.SHUT_WR)


def _problem(line: bytes | bytearray) -> str:
    """What is wrong with a line, or with the beginning of one."""
    said = bytes(line[len(_PREFIX) :][:20]).split(b" ")[0].strip()
    if line.startswith(_PREFIX) and not any(known.startswith(said) for known in _MESSAGES):
        return f"'{said.decode(errors='replace')}' is no message of a client"
    if len(line) <= _LONGEST_WITHOUT_IMAGE:
        return ""
    if not line.startswith(_PREFIX):
        return f"a line of {len(line)} bytes that is no TraX message"
    if len(line) > _LONGEST:
        return f"a message of more than {_LONGEST} bytes"
    if not any(mark in line[:_MARK_WITHIN] for mark in _IMAGE_MARKS):
        return f"a message of {len(line)} bytes without an image"
    return ""


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
