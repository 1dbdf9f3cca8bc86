"""A tracker in a process of its own, in any language and environment, that answers over the TraX protocol.

Source: Čehovin, "TraX: The visual Tracking eXchange protocol and library", Neurocomputing 2017.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import cv2
import numpy as np

from ltr.admin.inputs import Ranges, check_numbers
from ltr.errors import UserError
from pytracking.evaluation.trax_guard import PROGRAM, Guard
from pytracking.evaluation.trax_server import import_trax
from pytracking.tracker.base import Box, Tracker, TrackResult
from pytracking.tracker.inputs import as_image, check_first_box

# Lines of the program's own output that an error message repeats.
_LINES = 3


@dataclass(frozen=True)
class ExternalParameters:
    """Which program tracks.

    Attributes:
        command: command line that starts it; it answers TraX on its standard input and output.
        timeout: seconds that it may take to start or to answer a frame.
    """

    RANGES: ClassVar[Ranges] = {"timeout": (1e-3, 1e6)}

    command: str
    timeout: float = 60.0

    def __post_init__(self) -> None:
        check_numbers(self)


class ExternalTracker:
    """A program that speaks TraX; see `pytracking.tracker.base.Tracker`.

    The program is started by the first `initialize` and kept for the next sequences, unless it ends. Frames are sent as
    pixels where it takes them, else as PNG, else as a PNG file. The score is the property `confidence` of its answer, 1
    where it sends none; an answer without a box is 'not_found'.
    """

    def __init__(self, params: ExternalParameters) -> None:
        self._params = params
        self._program: _Program | None = None
        self._box: Box = (0.0, 0.0, 0.0, 0.0)

    def initialize(self, image: np.ndarray, box: Sequence[float]) -> TrackResult:
        """Start on the first frame. Raises `UserError` for a bad box, or a program that does not start or answer."""
        start = time.perf_counter()
        image = as_image(image)
        self._box = check_first_box(box, image)
        if self._program is None or not self._program.alive:
            self._program = _start(self._params)
        self._program.initialize(image, self._box)
        return TrackResult(self._box, 1.0, "init", time.perf_counter() - start)

    def track(self, image: np.ndarray) -> TrackResult:
        """Track the target in the next frame.

        Raises:
            RuntimeError: called before `initialize`.
            UserError: the program ended, did not answer in time, or sent what is no answer.
        """
        start = time.perf_counter()
        if self._program is None:
            raise RuntimeError("track() was called before initialize()")
        found = self._program.frame(as_image(image))
        if found is not None:
            self._box = found[0]
        score = 0.0 if found is None else found[1]
        return TrackResult(self._box, score, "not_found" if found is None else "normal", time.perf_counter() - start)


class _GreetingError(UserError):
    """TraX's library did not take the greeting of a program that still runs."""


def _start(params: ExternalParameters) -> _Program:
    """Start the program; a second time where the library refuses the greeting, which it did once in a long process."""
    try:
        return _Program(params)
    except _GreetingError:
        return _Program(params)


class _Program:
    """The running program and the TraX client that talks to it."""

    def __init__(self, params: ExternalParameters) -> None:
        self._trax = import_trax()
        self._params = params
        words = shlex.split(params.command)
        if not words:
            raise UserError(
                "external: set `command` to what starts the program, or name it under [external] in paths.toml"
            )
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (read when the program has ended)
        self._frame = Path(tempfile.mkdtemp(prefix="ebm-tracking-")) / "frame.png"
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._output, bufsize=0
            )
        except OSError as error:
            raise UserError(f"external: '{words[0]}' cannot be started: {error.strerror}") from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._guard = Guard(PROGRAM)
        answers = os.fdopen(self._guard.behind(os.dup(self._process.stdout.fileno())), "rb", buffering=0)
        clients: list[Any] = []
        self.close = weakref.finalize(self, _end, self._process, answers, self._frame.parent, clients)
        from trax.client import Client

        streams = (self._process.stdin.fileno(), answers.fileno())
        self._client: Any = self._ask(lambda: Client(stream=streams, timeout=int(params.timeout), log=_ignore))
        clients.append(self._client)

    @property
    def alive(self) -> bool:
        """Whether the program still runs."""
        return self._process.poll() is None

    def initialize(self, image: np.ndarray, box: Box) -> None:
        """Start the program on a frame."""
        region = self._trax.Rectangle.create(*box)
        self._ask(lambda: self._client.initialize(self._image(image), [(region, {})], {}))

    def frame(self, image: np.ndarray) -> tuple[Box, float] | None:
        """Box and confidence of the next frame; None where the program found nothing."""
        objects, _ = self._ask(lambda: self._client.frame(self._image(image), {}, []))
        if not objects or isinstance(objects[0][0], self._trax.Special):
            return None
        region, properties = objects[0]
        x, y, w, h = (float(value) for value in region.bounds())
        if not np.isfinite((x, y, w, h)).all() or w <= 0 or h <= 0:
            return None
        return (x, y, w, h), _number(properties.get("confidence", "1"))

    def _image(self, image: np.ndarray) -> dict[str, Any]:
        formats = self._client.image_formats
        if "memory" in formats:
            return {"color": self._trax.MemoryImage.create(image)}
        _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if "buffer" in formats:
            return {"color": self._trax.BufferImage.create(encoded.tobytes())}
        self._frame.write_bytes(encoded.tobytes())
        return {"color": self._trax.FileImage.create(str(self._frame))}

    def _ask(self, ask: Any) -> Any:
        """Do what waits for the program; TraX's library waits without a limit, so a timer ends the program in time."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(self._params.timeout, give_up)
        timer.start()
        try:
            return ask()
        except (self._trax.TraxException, UnicodeDecodeError) as error:
            refused = "Unable to connect" in str(error) and self.alive and not late.is_set()
            why = f"no answer within {self._params.timeout:g} s" if late.is_set() else self._guard.problem or str(error)
            self.close()
            kind = _GreetingError if refused else UserError
            raise kind(f"external program '{self._params.command}': {why}{self._last_words()}") from None
        finally:
            timer.cancel()

    def _last_words(self) -> str:
        self._output.seek(0)
        lines = self._output.read()[-4000:].decode(errors="replace").strip().splitlines()[-_LINES:]
        return f" (it said: {' / '.join(lines)})" if lines else ""


def _ignore(message: str) -> None:
    """The protocol's log; the library does not work without one."""


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 1.0
    return number if math.isfinite(number) else 1.0


def _end(process: subprocess.Popen[bytes], answers: IO[bytes], folder: Path, clients: list[Any]) -> None:
    """End the program and remove its frame; closing its input is how TraX says goodbye."""
    for client in clients:
        # The library frees its side of the streams with this, and crashes where they were closed before.
        client._handle = None
    for stream in (process.stdin, process.stdout, answers):
        if stream is not None:
            stream.close()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def create(params: ExternalParameters) -> Tracker:
    """Create the tracker; the program starts with the first frame."""
    return ExternalTracker(params)
