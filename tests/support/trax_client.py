"""A TraX client for tests: starts `python -m pytracking vot run ...` as the VOT toolkit does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import trax
from trax.client import Client

from pytracking.tracker.base import Box


class ServedTracker:
    """A tracker in a process of its own, and the client that talks to it; a context that ends both.

    Args:
        command: what to start.
        cwd: folder to start it in; the toolkit takes an empty one.
        over: 'pipes', 'one pipe' (stderr goes into stdout's pipe, as under the toolkit) or 'socket'.
    """

    def __init__(self, command: Sequence[str], cwd: Path, over: str = "pipes") -> None:
        self.stderr = cwd / "stderr.txt"
        self.log: list[str] = []
        environment, self._listener = dict(os.environ), None
        if over == "socket":
            self._listener = socket.create_server(("127.0.0.1", 0))
            environment["TRAX_SOCKET"] = str(self._listener.getsockname()[1])
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if over == "one pipe" else stderr,
                env=environment,
                cwd=cwd,
                bufsize=0,
                # A shell's background jobs, of which the tests may be one, ignore Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        # The client waits for ever for an answer that does not come.
        self._guard = threading.Timer(60, self.process.kill)
        self._guard.start()
        assert self.process.stdin is not None and self.process.stdout is not None
        streams = (self.process.stdin.fileno(), self.process.stdout.fileno())
        self.client = Client(
            stream=streams if self._listener is None else self._listener.fileno(), timeout=30, log=self.log.append
        )

    def __enter__(self) -> ServedTracker:
        return self

    def __exit__(self, *error: object) -> None:
        self._guard.cancel()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        # Before its streams are closed, on which its library would stumble.
        self.client._handle = None
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        if self._listener is not None:
            self._listener.close()

    def initialize(self, image: Any, *regions: Any) -> tuple[Box, float]:
        """Start on an image (a path, pixels or bytes); returns box and confidence."""
        objects, _ = self.client.initialize({"color": trax_image(image)}, [(region, {}) for region in regions], {})
        return _box(objects)

    def frame(self, image: Any, *regions: Any) -> tuple[Box, float]:
        """Track the next image; returns box and confidence."""
        objects, _ = self.client.frame({"color": trax_image(image)}, {}, [(region, {}) for region in regions])
        return _box(objects)

    def quit(self) -> int:
        """Say quit and return the process's exit status."""
        self.client.quit()
        return self.process.wait(20)

    def hang_up(self) -> None:
        """End both streams without a word."""
        for stream, mode in ((self.process.stdin, "wb"), (self.process.stdout, "rb")):
            assert stream is not None
            with open(os.devnull, mode) as nothing:
                os.dup2(nothing.fileno(), stream.fileno())


def trax_image(image: Any) -> Any:
    """A TraX image of a path, of pixels [H, W, 3] or [H, W], or of an encoded file's bytes."""
    if isinstance(image, np.ndarray):
        return trax.MemoryImage.create(image)
    return trax.BufferImage.create(image) if isinstance(image, bytes) else trax.FileImage.create(str(image))


def server_command(tracker: str, parameter: str) -> list[str]:
    """What starts a tracker."""
    return [sys.executable, "-m", "pytracking", "vot", "run", tracker, parameter]


def _box(objects: list[tuple[Any, dict[str, str]]]) -> tuple[Box, float]:
    assert len(objects) == 1
    region, properties = objects[0]
    x, y, width, height = region.bounds()
    return (x, y, width, height), float(properties["confidence"])
