"""OpenCV's KCF (kernelised correlation filter) with OpenCV's own settings; it does not adapt its scale."""

from __future__ import annotations

from pytracking.tracker.opencv import OpenCVParameters


def parameters() -> OpenCVParameters:
    """KCF as `cv2.TrackerKCF` comes."""
    return OpenCVParameters(algorithm="KCF")
