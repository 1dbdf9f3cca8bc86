"""The error of everything that reads or writes networks."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A file that is not a checkpoint, or does not fit its network. The message names the file and what to do."""
