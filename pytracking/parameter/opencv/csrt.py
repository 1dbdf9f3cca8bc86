"""OpenCV's CSRT (discriminative correlation filter with channel and spatial reliability) with OpenCV's own settings."""

from __future__ import annotations

from pytracking.tracker.opencv import OpenCVParameters


def parameters() -> OpenCVParameters:
    """CSRT as `cv2.TrackerCSRT` comes."""
    return OpenCVParameters(algorithm="CSRT")
