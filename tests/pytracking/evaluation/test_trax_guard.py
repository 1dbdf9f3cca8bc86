"""Input of a TraX client that is cut off, malformed or without end: one line, and no memory that grows."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from ltr.errors import UserError
from pytracking.evaluation.trax_guard import Guard

WHOLE = b'@@TRAX:initialize "file:///a.jpg" "10.0000,10.0000,5.0000,5.0000" \n'


def passed(*chunks: bytes) -> tuple[bytes, str, int]:
    """What comes through, what the guard says, and how many chunks it read."""
    guard, left, out = Guard(), list(chunks), bytearray()
    guard.pump(lambda: left.pop(0) if left else b"", out.extend, lambda: out.extend(b"<end>"))
    return bytes(out), guard.problem, len(chunks) - len(left)


def test_whole_messages_pass_however_they_are_cut() -> None:
    both = WHOLE + b"\nlog line\n" + WHOLE
    for size in (1, 7, len(WHOLE), len(both)):
        out, problem, _ = passed(*(both[start : start + size] for start in range(0, len(both), size)))
        assert (out, problem) == (both + b"<end>", "")


def test_a_message_that_is_cut_off_does_not_pass() -> None:
    out, problem, _ = passed(WHOLE, WHOLE[:30])
    assert out == WHOLE + b"<end>"
    assert problem == "its last message is cut off after 30 bytes"


@pytest.mark.parametrize(
    ("beginning", "problem"),
    [
        (b"x", "is no TraX message"),
        (b'@@TRAX:initialize "', "without an image"),
        (b'@@TRAX:hello "trax.version=99"', "'hello' is no message of a client"),
        (b"@@TRAX:", "is no message of a client"),
    ],
)
def test_a_line_without_end_is_not_read_to_its_end(beginning: bytes, problem: str) -> None:
    out, said, read = passed(beginning, *[b"y" * 2**16] * 100)
    assert out == b"<end>"
    assert problem in said
    assert read < 20


def test_a_port_where_nobody_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UserError, match=rf"^TRAX_SOCKET={port}: no TraX client listens"):
        Guard().on_socket(port)


def test_a_large_image_passes() -> None:
    image = b'@@TRAX:frame "image:2000;2000;rgb;' + b"A" * 3_000_000 + b'"\n'
    out, problem, _ = passed(*(image[start : start + 2**16] for start in range(0, len(image), 2**16)))
    assert (out, problem) == (image + b"<end>", "")


def test_the_server_ends_with_one_line() -> None:
    pytest.importorskip("trax")
    command = [sys.executable, "-m", "pytracking", "vot", "run", "static", "default"]
    done = subprocess.run(command, input=WHOLE[:30], capture_output=True, timeout=100)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "error: the TraX client went away without saying quit (its last message is cut off after 30 bytes)"
    ]
