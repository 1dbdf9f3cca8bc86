"""Input of a TraX client that is cut off, malformed or without end: one line, and no memory that grows."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import pytracking
from ltr.errors import UserError
from pytracking.evaluation.trax_guard import Guard

WHOLE = b'@@TRAX:initialize "file:///a.jpg" "10.0000,10.0000,5.0000,5.0000" \n'
QUIT = b"@@TRAX:quit\n"


def passed(*chunks: bytes) -> tuple[bytes, str, int]:
    """What comes through, what the guard says, and how many chunks it read."""
    guard, left, out = Guard(), list(chunks), bytearray()
    guard.pump(lambda: left.pop(0) if left else b"", out.extend, lambda: out.extend(b"<end>"))
    return bytes(out), guard.problem, len(chunks) - len(left)


def test_whole_messages_pass_however_they_are_cut() -> None:
    all_of_it = WHOLE + b"\nlog line\n" + WHOLE[:-1] + b"\r\n" + QUIT + WHOLE
    for size in (1, 7, len(WHOLE), len(all_of_it)):
        out, problem, _ = passed(*(all_of_it[start : start + size] for start in range(0, len(all_of_it), size)))
        assert (out, problem) == (WHOLE + WHOLE + QUIT + b"<end>", "")


@pytest.mark.parametrize(
    ("last", "problem"),
    [
        (WHOLE[:30], "its last message is cut off after 30 bytes"),
        (b"@@TRAX:initialize\n", "it sent no more"),
        (b'@@TRAX:initialize "1,2,3,4\n', "a malformed message, '@@TRAX:initialize \"1,2,3,4'"),
        (b'@@TRAX:initialize "1,2,3,4\\"\n', "a malformed message"),
        (b'@@TRAX:initialize ""\n', "a malformed message"),
        (b'@@TRAX:initialize "\0"\n', "a malformed message"),
        (b"@@TRAX:initia\n", "a malformed message"),
        (b'@@TRAX:state "1,2,3,4"\n', "'state' is no message that is expected"),
        (b"@@TRAX:frame\n", "a frame without an image"),
        (b"@@TRAX:frame" + b" a" * 10_001 + b"\n", "a message of more than 10000 arguments"),
    ],
)
def test_what_libtrax_would_wait_or_crash_on_becomes_a_quit(last: bytes, problem: str) -> None:
    out, said, _ = passed(WHOLE, last)
    assert problem in said
    assert out == WHOLE + (last if said == "it sent no more" else b"") + QUIT + b"<end>"


def test_initialisations_without_a_frame_come_to_an_end() -> None:
    out, problem, read = passed(*[b"@@TRAX:initialize\n"] * 5000)
    assert (problem, read) == ("1001 initialisations without a frame", 1001)
    assert out.count(b"initialize") == 1000


@pytest.mark.parametrize(
    ("beginning", "problem"),
    [
        (b"x", "is no TraX message"),
        (b'@@TRAX:initialize "', "without an image"),
        (b'@@TRAX:hello "trax.version=99"', "'hello' is no message that is expected"),
        (b"@@TRAX:", "is no message that is expected"),
    ],
)
def test_a_line_without_end_is_not_read_to_its_end(beginning: bytes, problem: str) -> None:
    out, said, read = passed(beginning, *[b"y" * 2**16] * 100)
    assert out == QUIT + b"<end>"
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
    assert (out, problem) == (image + QUIT + b"<end>", "it sent no more")


FRAME = f'@@TRAX:frame "file://{Path(pytracking.__file__).parent}/demo_data/dog/img/0001.jpg"\n'.encode()


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (WHOLE[:30], "the TraX client went away without saying quit (its last message is cut off after 30 bytes)"),
        (b"@@TRAX:initialize\n", "the TraX client went away without saying quit (it sent no more)"),
        (b'@@TRAX:initialize "1,2,3,4"\n' + FRAME, "the TraX client went away without saying quit (it sent no more)"),
        (
            b'@@TRAX:initialize "1,2,3,4"\n@@TRAX:frame "image:50000;50000;rgb;AAAA"\n',
            "TraX: the client sent a malformed image or region, or too many or too few of them",
        ),
    ],
)
def test_the_server_ends_with_one_line_in_bounded_memory(sent: bytes, line: str) -> None:
    pytest.importorskip("trax")
    command = [sys.executable, "-m", "pytracking", "vot", "run", "static", "default"]
    limited = ["bash", "-c", 'ulimit -v 4000000; exec "$@"', "bash", *command]
    done = subprocess.run(limited, input=sent, capture_output=True, timeout=100)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [f"error: {line}"]
