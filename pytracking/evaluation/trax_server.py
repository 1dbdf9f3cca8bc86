"""A tracker as a TraX server, which the VOT toolkit or another TraX client starts and sends frames to."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ltr.data.image import read_image
from ltr.errors import UserError
from pytracking.evaluation.trax_guard import Guard
from pytracking.tracker.base import Box, Tracker, TrackResult

_BUFFER_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png"}


def import_trax() -> Any:
    """The package `trax`. Raises `UserError` where it is not installed or its library does not load."""
    try:
        import trax
    except (ImportError, OSError) as error:
        raise UserError(f"TraX needs the package vot-trax ({error}): pip install 'ebm-tracking[vot]'") from None
    return trax


def serve(load: Callable[[], Tracker], name: str, description: str = "") -> int:
    """Answer a TraX client on stdin and stdout, or on the TCP port that TRAX_SOCKET names, until it says quit.

    The client may initialise again at any time: VOT's supervised experiments do after a failure. Nothing but the
    protocol reaches stdout; what the tracker prints goes to stderr.

    Args:
        load: creates the tracker; called before the handshake, so that no frame's time has it in it.
        name: the tracker's name, as sent to the client.
        description: one line more.

    Returns:
        The number of frames answered, first frames included.

    Raises:
        UserError: no vot-trax, the client went away, or sent what cannot be answered: the reason was sent to it.
        Exception: whatever the tracker raised, after the client was informed.
    """
    with Connection(import_trax(), name, description) as connection:
        tracker = load()
        connection.greet()
        _answer(connection, tracker)
        return connection.answered


def _answer(connection: Connection, tracker: Tracker) -> None:
    """Request after request, until the client says quit."""
    started = False
    for request in connection.requests():
        if request.type == "initialize":
            image, box = frame_image(request.image), first_box(request.objects)
            try:
                result = tracker.initialize(image, box)
            except ValueError as error:
                raise UserError(f"TraX: {error}") from None
            started = True
        elif not started:
            raise UserError("TraX: a frame came before an initialisation")
        elif request.objects:
            raise UserError("TraX: a frame brought a new object; this tracker follows the one that it was started on")
        else:
            result = tracker.track(frame_image(request.image))
        connection.reply(result)


class Connection:
    """The line to a TraX client. As a context, it tells the client the reason of any error before it hangs up.

    Attributes:
        answered: number of frames answered.
    """

    def __init__(self, trax: Any, name: str, description: str) -> None:
        self.answered = 0
        self._trax, self._name, self._description = trax, name, description
        self._server: Any = None

    def __enter__(self) -> Connection:
        sys.stdout.flush()
        self._stdout = os.dup(1)
        self._one_stream = "TRAX_SOCKET" not in os.environ and os.path.sameopenfile(1, 2)
        # libtrax always writes to descriptor 1, which is the client's only while the protocol speaks.
        os.dup2(2, 1)
        self._guard = Guard()
        self._port = os.environ.get("TRAX_SOCKET")
        if self._port is None:
            self._guard.on_pipe()
        else:
            os.environ["TRAX_SOCKET"] = str(self._guard.on_socket(_port(self._port)))
        self._redirection = redirect_stdout(sys.stderr)
        self._redirection.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(self._trax.TraxException):
            if self._server is None:
                self.greet()
            with self._speaking():
                self._server.quit(None if error is None else _reason(error))
                self._server = None
        self._redirection.__exit__(kind, error, trace)
        os.dup2(self._stdout, 1)
        os.close(self._stdout)
        if self._port is not None:
            os.environ["TRAX_SOCKET"] = self._port

    def greet(self) -> None:
        """Shake hands with the client. Raises `trax.TraxException` where none is there."""
        trax = self._trax
        with self._speaking():
            self._server = trax.Server(
                [trax.Region.RECTANGLE, trax.Region.POLYGON],
                [trax.Image.PATH, trax.Image.MEMORY, trax.Image.BUFFER],
                tracker_name=self._name,
                tracker_description=self._description,
                tracker_family="ebm-tracking",
            )

    def requests(self) -> Iterator[Any]:
        """The client's requests until it says quit. Raises `UserError` when it goes away without."""
        while True:
            try:
                with self._speaking():
                    request = self._server.wait()
            except self._trax.TraxException:
                # What the library says of it is "Unknown", or a number from memory that it never wrote to.
                raise UserError(
                    "TraX: the client sent a malformed image or region, or too many or too few of them"
                ) from None
            if request.type == self._trax.TraxStatus.QUIT:
                # The guard says quit too, for a client that did not.
                if self._guard.problem:
                    raise UserError(f"the TraX client went away without saying quit ({self._guard.problem})")
                return
            yield request

    def reply(self, result: TrackResult) -> None:
        """Send a box, which TraX writes with four decimals, with the score as its confidence."""
        region = self._trax.Rectangle.create(*result.box)
        try:
            with self._speaking():
                self._server.status([(region, {"confidence": repr(float(result.score))})])
        except self._trax.TraxException as error:
            raise UserError(
                f"the TraX client went away before frame {self.answered + 1} was answered ({error})"
            ) from None
        self.answered += 1

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """While descriptor 1 is the client's."""
        sys.stderr.flush()
        os.dup2(self._stdout, 1)
        if self._one_stream:
            # The toolkit reads stderr from the same pipe, and would miss a message behind an unfinished line.
            with suppress(BrokenPipeError):
                os.write(1, b"\n")
        try:
            yield
        finally:
            os.dup2(2, 1)


def first_box(objects: list[tuple[Any, dict[str, str]]]) -> Box:
    """The box to start on.

    Args:
        objects: (region, properties) of each object that the client sent: a rectangle, or a polygon of three corners or
            more, of which the smallest upright box is taken. TraX's client library sends a mask as one of these.

    Returns:
        (x, y, w, h) in pixels, as the client gave them.

    Raises:
        UserError: none or several objects, or another kind of region.
    """
    if len(objects) != 1:
        raise UserError(f"TraX: {len(objects)} objects to track; this tracker follows one at a time")
    region = objects[0][0]
    if region.type == "rectangle":
        x, y, width, height = map(float, region.bounds())
        return x, y, width, height
    if region.type == "polygon":
        corners = np.array([region.get(number) for number in range(region.size())], np.float64)
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        return float(left), float(top), float(right - left), float(bottom - top)
    raise UserError(f"TraX: a region of type '{region.type}' to start on; this tracker takes rectangles and polygons")


def frame_image(images: dict[str, Any]) -> np.ndarray:
    """The colour image of a request: the path of a file, pixels, or the content of a JPEG or PNG file.

    Args:
        images: channel -> image, of which 'color' is used.

    Returns:
        image: [H, W, 3] uint8 RGB, grey pixels three times.

    Raises:
        UserError: no colour image, a missing or damaged file, or 16-bit pixels.
    """
    if "color" not in images:
        raise UserError(f"TraX: no colour image, only {', '.join(images) or 'nothing'}")
    image = images["color"]
    kind = image.type()
    if kind == "path":
        return read_image(image.path())
    if kind == "buffer":
        return _decode_buffer(image.buffer())
    if kind != "memory":
        raise UserError(f"TraX: an image as {kind}; this tracker takes paths, pixels and encoded files")
    pixels: np.ndarray = image.array()
    if pixels.dtype != np.uint8:
        raise UserError(f"TraX: {pixels.dtype} pixels; this tracker takes 8 bits a channel")
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _decode_buffer(content: bytes) -> np.ndarray:
    """Decode through a file, so that a damaged image is noticed as everywhere else."""
    suffix = _BUFFER_SUFFIXES.get(content[:2], ".bin")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"frame{suffix}"
        path.write_bytes(content)
        try:
            return read_image(path)
        except UserError as error:
            raise UserError(f"TraX: an encoded image: {str(error).replace(str(path), 'it')}") from None


def _port(text: str) -> int:
    """The port that TRAX_SOCKET names. Raises `UserError` for what is no port number."""
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536):
        raise UserError(f"TRAX_SOCKET={text[:40]!r} is no port number")
    return int(text)


def _reason(error: BaseException) -> str:
    """One line for the client."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}".rstrip(": ")
