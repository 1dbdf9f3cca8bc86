"""A served tracker against vot-trax's own client, in processes of their own as under the VOT toolkit."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence as Listing
from pathlib import Path

import cv2
import numpy as np
import pytest
import trax
from trax_client import ServedTracker, server_command

from ltr.data.image import read_image
from ltr.errors import UserError
from pytracking import get_dataset, load_tracker
from pytracking.evaluation import trax_server
from pytracking.evaluation.data import Sequence
from pytracking.evaluation.trax_server import first_box, frame_image, import_trax

# TraX writes coordinates with four decimals, and reads them as float32.
EXACT = {"abs": 0.5e-4 + 2e-5, "rel": 0}


@pytest.fixture
def dog() -> Sequence:
    return get_dataset("demo", sequences=["dog"])[0]


def rectangle(box: Listing[float]) -> trax.Rectangle:
    return trax.Rectangle.create(*box)


def serve(cwd: Path, tracker: str = "static/default", over: str = "pipes") -> ServedTracker:
    return ServedTracker(server_command(*tracker.split("/")), cwd, over)


@pytest.mark.parametrize("over", ["pipes", "one pipe", "socket"])
def test_answers_equal_the_tracker_s_own(over: str, tmp_path: Path, dog: Sequence) -> None:
    """Initialise, five frames, once more from another frame, as VOT does after a failure."""
    own = load_tracker("kcf")
    with serve(tmp_path, "opencv/kcf", over) as served:
        assert served.client.tracker_name == "opencv/kcf"
        assert served.client.get("multiobject") is False
        for start in (0, 20):
            box = dog.ground_truth_rect[start]
            images = [read_image(path) for path in dog.frames[start : start + 6]]
            expected = [own.initialize(images[0], box), *(own.track(image) for image in images[1:])]
            answers = [served.initialize(dog.frames[start], rectangle(box))]
            answers += [served.frame(path) for path in dog.frames[start + 1 : start + 6]]
            assert [box for box, _ in answers] == [pytest.approx(result.box, **EXACT) for result in expected]
            assert [confidence for _, confidence in answers] == pytest.approx(
                [result.score for result in expected], abs=1e-5
            )
        assert served.quit() == 0
    assert served.stderr.read_text() == ""


def test_the_shipped_tracker_and_every_kind_of_image(tmp_path: Path, dog: Sequence) -> None:
    own = load_tracker("dimp_nceplus_lite")
    images = [read_image(path) for path in dog.frames[:4]]
    encoded = cv2.imencode(".png", cv2.cvtColor(images[3], cv2.COLOR_RGB2BGR))[1].tobytes()
    box = dog.ground_truth_rect[0]
    expected = [own.initialize(images[0], box), *(own.track(image) for image in images[1:])]
    with serve(tmp_path, "dimp/dimp_nceplus_lite") as served:
        answers = [served.initialize(dog.frames[0], rectangle(box))]
        answers += [served.frame(image) for image in (images[1], dog.frames[2].read_bytes(), encoded)]
        assert served.quit() == 0
    assert [box for box, _ in answers] == [pytest.approx(result.box, **EXACT) for result in expected]
    assert [confidence for _, confidence in answers] == pytest.approx([result.score for result in expected], abs=1e-5)
    assert answers[3][0] != answers[0][0]


def test_regions_to_start_on(tmp_path: Path, dog: Sequence) -> None:
    mask = np.zeros((360, 640), np.uint8)
    mask[100:150, 200:281] = 1
    with serve(tmp_path) as served:
        corners = [(120.5, 80.0), (180.25, 95.5), (170.0, 140.0), (110.0, 125.75)]
        assert served.initialize(dog.frames[0], trax.Polygon.create(corners))[0] == (110.0, 80.0, 70.25, 60.0)
        # The client's library turns the mask into a polygon through the outermost pixels.
        assert served.initialize(dog.frames[0], trax.Mask.create(mask))[0] == (200.0, 100.0, 80.0, 49.0)
        assert served.quit() == 0


def refused(served: ServedTracker, message: str) -> None:
    """The process has told its client and says the same in one line on stderr."""
    assert served.process.wait(20) == 2
    lines = served.stderr.read_text().splitlines()
    assert len(lines) == 1
    assert re.search(message, lines[0])


@pytest.mark.parametrize(
    ("image", "regions", "message"),
    [
        ("no_such.jpg", [(1, 2, 30, 40)], "no_such.jpg: No such file"),
        (None, [(1, 2, 0, 40)], "is empty"),
        (None, [(900, 2, 30, 40)], "outside the image of 640 x 360 pixels"),
        (b"\xff\xd8 no image", [(1, 2, 30, 40)], "an encoded image: it.* cannot be decoded"),
    ],
)
def test_what_cannot_be_answered_is_told(
    image: str | bytes | None, regions: list[Listing[float]], message: str, tmp_path: Path, dog: Sequence
) -> None:
    sent = image if isinstance(image, bytes) else tmp_path / image if image else dog.frames[0]
    with serve(tmp_path) as served:
        with pytest.raises(trax.TraxException, match=message):
            served.initialize(sent, *map(rectangle, regions))
        refused(served, message)


def test_a_frame_that_is_missing(tmp_path: Path, dog: Sequence) -> None:
    with serve(tmp_path) as served:
        served.initialize(dog.frames[0], rectangle((10, 20, 30, 40)))
        with pytest.raises(trax.TraxException, match=r"gone\.jpg"):
            served.frame(tmp_path / "gone.jpg")
        refused(served, "gone.jpg: No such file")


def test_several_objects_are_refused(tmp_path: Path, dog: Sequence) -> None:
    """The client's library refuses them by itself, as this server declares that it follows one; others may not."""
    boxes = [rectangle((10, 20, 30, 40)), rectangle((50, 60, 70, 80))]
    with serve(tmp_path) as served, pytest.raises(trax.TraxException, match="Too many objects"):
        served.initialize(dog.frames[0], *boxes)
    first, second = ('@@TRAX:initialize "10,20,30,40"', '@@TRAX:initialize "50,60,70,80"')
    frame = f'@@TRAX:frame "file://{dog.frames[0]}"'
    for lines, reason in [
        ((first, second, frame), "2 objects to track; this tracker follows one"),
        ((frame,), "a frame came before an initialisation"),
    ]:
        done = subprocess.run(
            server_command("static", "default"),
            input="\n".join([*lines, ""]),
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 2
        assert reason in done.stderr
        assert f'@@TRAX:quit "trax.reason=TraX: {reason}' in done.stdout


def test_a_client_that_dies(tmp_path: Path, dog: Sequence) -> None:
    with serve(tmp_path) as served:
        served.initialize(dog.frames[0], rectangle((10, 20, 30, 40)))
        served.hang_up()
        refused(served, "client went away")


def test_ctrl_c_tells_the_client(tmp_path: Path, dog: Sequence) -> None:
    with serve(tmp_path) as served:
        served.initialize(dog.frames[0], rectangle((10, 20, 30, 40)))
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(20) == 130
        with pytest.raises(trax.TraxException, match="KeyboardInterrupt"):
            served.frame(dog.frames[1])
    assert served.stderr.read_text() == "interrupted\n"


def test_over_a_socket_nothing_is_written_to_stdout(tmp_path: Path, dog: Sequence) -> None:
    """The toolkit gives such a tracker a pipe that it does not read: a full one would stop everything."""
    command = ["bash", "-c", f"exec {shlex.join(server_command('static', 'default'))} 2>&1"]
    with ServedTracker(command, tmp_path, "socket") as served:
        served.initialize(dog.frames[0], rectangle((10, 20, 30, 40)))
        assert served.quit() == 0
        assert served.process.stdout is not None
        assert served.process.stdout.read() == b""


NOISY = """
import os, sys
from pytracking.evaluation.trax_server import serve
from pytracking.registry import load_tracker

class Noisy:
    def __init__(self): self.tracker = load_tracker("default", "static")
    def initialize(self, image, box):
        print("hello from Python", end="", flush=True)
        os.write(1, b"hello from C, without a line end")
        return self.tracker.initialize(image, box)
    def track(self, image): raise RuntimeError('out of "memory"\\nsecond line')

print("before")
serve(Noisy, "noisy")
"""


@pytest.mark.parametrize("over", ["pipes", "one pipe"])
def test_what_the_tracker_prints_stays_off_stdout(over: str, tmp_path: Path, dog: Sequence) -> None:
    """Also where stdout and stderr are one pipe, in which an unfinished line would hide the answer."""
    script = tmp_path / "noisy.py"
    script.write_text(textwrap.dedent(NOISY))
    with ServedTracker([sys.executable, str(script)], tmp_path, over) as served:
        assert served.initialize(dog.frames[0], rectangle((10, 20, 30, 40)))[0] == (10, 20, 30, 40)
        with pytest.raises(trax.TraxException, match=r"RuntimeError: out of .*memory.* second line"):
            served.frame(dog.frames[1])
        assert served.process.wait(20) == 1
    heard = "".join(served.log)
    assert heard.startswith("before\n")
    assert ("hello from" in heard) == (over == "one pipe")
    if over == "pipes":
        assert served.stderr.read_text().startswith("hello from Pythonhello from C, without a line end")


def test_a_tracker_that_cannot_be_loaded_tells_the_client(tmp_path: Path, dog: Sequence) -> None:
    with serve(tmp_path, "dimp/super_dimp") as served:
        with pytest.raises(trax.TraxException, match="super_dimp"):
            served.initialize(dog.frames[0], rectangle((10, 20, 30, 40)))
        refused(served, "super_dimp")


def test_nobody_listens(tmp_path: Path) -> None:
    done = subprocess.run(
        server_command("static", "default"), stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "client went away" in done.stderr
    assert all(line.startswith("@@TRAX:") for line in done.stdout.split("\n") if line)


def colour(image: np.ndarray) -> dict[str, trax.Image]:
    return {"color": trax.MemoryImage.create(image)}


def test_images_and_regions_that_a_client_can_send() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (frame_image(colour(grey)) == grey[:, :, None]).all()
    assert frame_image(colour(grey)).shape == (3, 4, 3)
    with pytest.raises(UserError, match="uint16 pixels"):
        frame_image(colour(grey.astype(np.uint16)))
    with pytest.raises(UserError, match="an image as url"):
        frame_image({"color": trax.URLImage.create("http://localhost/1.jpg")})
    with pytest.raises(UserError, match="no colour image, only depth"):
        frame_image({"depth": trax.MemoryImage.create(grey)})
    with pytest.raises(UserError, match="0 objects"):
        first_box([])
    with pytest.raises(UserError, match="type 'special'"):
        first_box([(trax.Special.create(1), {})])


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trax", None)
    with pytest.raises(UserError, match=re.escape("pip install 'ebm-tracking[vot]'")):
        import_trax()


def test_reasons_are_one_line() -> None:
    assert trax_server._reason(UserError("a\n b")) == "a b"
    assert trax_server._reason(KeyboardInterrupt()) == "KeyboardInterrupt"
