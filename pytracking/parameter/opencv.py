"""OpenCV's trackers, each with OpenCV's own settings: name -> what it is in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytracking.tracker.opencv import OpenCVParameters

_TRACKERS = {
    "csrt": "OpenCV's CSRT (correlation filter with channel and spatial reliability)",
    "kcf": "OpenCV's KCF (kernelised correlation filter); it does not adapt its scale",
    "mil": "OpenCV's MIL (multiple instance learning); it does not adapt its scale",
    "mosse": "OpenCV's MOSSE (the first correlation filter, very fast); it does not adapt its scale",
    "medianflow": "OpenCV's MedianFlow (sparse optical flow); for slow, smooth motion",
    "nano": "OpenCV's NanoTrack; net_path names a folder with its backbone and head as ONNX files",
    "vit": "OpenCV's ViT tracker; net_path names its ONNX file",
    "dasiamrpn": "OpenCV's DaSiamRPN; net_path names a folder with its three ONNX files",
    "goturn": "OpenCV's GOTURN (4.x only); net_path names a folder with goturn.prototxt and goturn.caffemodel",
}


def descriptions() -> dict[str, str]:
    """Name -> what it is in one line."""
    return _TRACKERS


def parameters(name: str) -> OpenCVParameters:
    """The parameters of one of `descriptions`."""
    from pytracking.tracker.opencv import OpenCVParameters

    return OpenCVParameters(algorithm=name)
