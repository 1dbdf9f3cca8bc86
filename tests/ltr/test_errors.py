"""How errors reach a user: one line and an exit status."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from ltr.errors import UserError, exit_status, is_disk_full, unknown_name


def raising(error: BaseException) -> int:
    def main() -> int:
        raise error

    return exit_status(main)


def test_what_main_returns_is_the_status() -> None:
    assert exit_status(lambda: 0) == 0
    assert exit_status(lambda: 1) == 1


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("boxes.txt, line 3: not numbers"), 2, "error: boxes.txt, line 3: not numbers"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 2, "error: /a/b: Permission denied"),
    ],
)
def test_errors_are_one_line(error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture) -> None:
    assert raising(error) == status
    assert capsys.readouterr().err == f"{line}\n"


def test_a_closed_pipe_is_silent() -> None:
    code = "from ltr.errors import exit_status; exit_status(lambda: [print('x' * 99) for _ in range(9999)] and 0)"
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.stderr.read() == b""
    writer.wait()
    writer.stderr.close()


def test_a_character_that_the_output_lacks_is_escaped() -> None:
    code = "from ltr.errors import exit_status; exit_status(lambda: print('\u00b1 one'))"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("\\xb1 one\n", "")


def test_our_own_mistakes_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())
    with pytest.raises(OSError, match="odd"):
        raising(OSError("odd"))


def test_the_nearest_name_is_given_whatever_its_case() -> None:
    assert str(unknown_name("data set", "OTB", ["otb", "demo"])) == "unknown data set 'OTB'; did you mean 'otb'?"
    assert str(unknown_name("data set", "q", ["otb", "demo"])) == "unknown data set 'q'; choose from demo, otb"
    assert str(unknown_name("data set", "q", [])) == "unknown data set 'q'; there is none"


def test_disk_full() -> None:
    assert is_disk_full(OSError(errno.EDQUOT, ""))
    assert not is_disk_full(OSError(errno.EACCES, ""))
