"""SIGTERM (pre-emption) and SIGINT (Ctrl-C): the step is finished and saved before the run stops."""

from __future__ import annotations

import os
import signal
from types import FrameType

from ltr.errors import UserError

STATUS_STOPPED = {signal.SIGTERM: 75, signal.SIGINT: 130}


class StoppedBySignal(UserError):
    """The run was asked to stop and has saved its state; the same command goes on from there.

    Attributes:
        status: what the command line exits with: 75 for SIGTERM ("try again", sysexits.h), 130 for Ctrl-C.
    """

    prefix = ""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.status = STATUS_STOPPED[signal.Signals(number)]


class StopRequest:
    """Remembers the first SIGTERM or SIGINT while it is entered; a second Ctrl-C interrupts at once.

    Attributes:
        number: of the signal that came, None before.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, object] = {}
        self._alone = int(os.environ.get("WORLD_SIZE", "1")) == 1

    def __enter__(self) -> StopRequest:
        for number in STATUS_STOPPED:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self.number is not None and not self._alone:
            # torchrun ends all its processes as soon as the first is done.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # torchrun passes a Ctrl-C on to processes that have had it from the terminal already.
        if self.number is not None and number == signal.SIGINT and self._alone:
            raise KeyboardInterrupt
        if self.number is None:
            self.number = number
