"""The log of a run: `log.jsonl` and TensorBoard events, without repeated or missing lines after a resume."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from ltr.admin.files import write_text
from ltr.errors import UserError

LOG = "log.jsonl"


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The records of a run's `log.jsonl`; a last line that was cut short is left out."""
    path = folder / LOG
    if not path.exists():
        return []
    records = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise UserError(f"{path}, line {number}: not JSON ({error})") from error
    return records


class RunLog:
    """Writes into a run's folder. Every record says after how many `step`s it was made.

    Args:
        folder: of the run.
        step: where the run goes on; records of later steps, which will be made again, are dropped.

    Raises:
        ValueError: a line of an earlier log is not JSON.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.folder = folder
        kept = [record for record in read_log(folder) if record["step"] <= step] if step else []
        write_text(folder / LOG, "".join(json.dumps(record) + "\n" for record in kept))
        self._lines = open(folder / LOG, "a", encoding="utf-8")  # noqa: SIM115
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print("tensorboard is not installed (pip install 'ebm-tracking[train]'): only log.jsonl is written")
            self._board: Any = None
        else:
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, kind: str, step: int, record: dict[str, Any]) -> None:
        """Append a record: one JSON line, one TensorBoard scalar a number."""
        self._lines.write(json.dumps({"kind": kind, "step": step, **record}) + "\n")
        self._lines.flush()
        if self._board is not None:
            for name, value in record.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flush and close both."""
        self._lines.close()
        if self._board is not None:
            self._board.close()


def environment() -> dict[str, str]:
    """Versions and commit that a run was made with."""
    try:
        commit = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {"torch": torch.__version__, "python": platform.python_version(), "commit": commit}
