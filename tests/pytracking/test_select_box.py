"""The first box, as text or drawn with the mouse."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot, widgets

from ltr.errors import UserError
from pytracking import select_box
from pytracking.select_box import parse_box

IMAGE = np.zeros((40, 60, 3), np.uint8)


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    before = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")
    pyplot.switch_backend(before)


@pytest.mark.parametrize("text", ["1,2,3.5,4", "1 2 3.5 4", " 1, 2, 3.5, 4 "])
def test_parse(text: str) -> None:
    assert parse_box(text) == (1, 2, 3.5, 4)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="four numbers x,y,w,h"):
        parse_box(text)


def test_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_box.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match=r"no screen.*--box x,y,w,h"):
        select_box.select_box(IMAGE)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_box, "has_screen", lambda: True)


@pytest.mark.usefixtures("screen")
def test_opencv_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_box, "opencv_has_windows", lambda: True)
    monkeypatch.setattr(cv2, "selectROI", lambda *args, **kwargs: (3, 4, 10, 12), raising=False)
    monkeypatch.setattr(cv2, "destroyWindow", lambda title: None, raising=False)
    assert select_box.select_box(IMAGE) == (3, 4, 10, 12)
    monkeypatch.setattr(cv2, "selectROI", lambda *args, **kwargs: (0, 0, 0, 0), raising=False)
    with pytest.raises(UserError, match="no box was drawn"):
        select_box.select_box(IMAGE)


@pytest.mark.usefixtures("screen")
def test_matplotlib_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_box, "opencv_has_windows", lambda: False)
    selectors = []

    class Selector(widgets.RectangleSelector):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            selectors.append(self)

    def show(block: bool) -> None:
        selectors[-1].extents = (5.0, 25.0, 8.0, 20.0)

    real = pyplot.subplots

    def subplots(**kwargs: object) -> object:
        figure, axes = real(**kwargs)  # type: ignore[call-overload]
        figure.canvas.manager = SimpleNamespace(window=object(), num=1)
        return figure, axes

    monkeypatch.setattr(widgets, "RectangleSelector", Selector)
    monkeypatch.setattr(pyplot, "show", show)
    monkeypatch.setattr(pyplot, "subplots", subplots)
    assert select_box.select_box(IMAGE) == pytest.approx((5, 8, 20, 12))


@pytest.mark.usefixtures("screen")
def test_neither_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_box, "opencv_has_windows", lambda: False)
    with pytest.raises(UserError, match="neither OpenCV nor matplotlib"):
        select_box.select_box(IMAGE)


def test_opencv_tells_of_its_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                 NONE\n")
    assert not select_box.opencv_has_windows()
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                 QT5\n")
    assert select_box.opencv_has_windows()
