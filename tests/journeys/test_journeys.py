"""Four users type what the documentation tells them, with the wheel installed, in an empty folder.

The environment is new and has the wheel alone; its dependencies are those of the environment that runs the tests, since
installing torch again would take minutes.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKED = ("ltr", "pytracking", "pyproject.toml", "README.md", "LICENSE", "NOTICE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in PACKED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(target)]
    subprocess.run([*command, str(source)], check=True, cwd=target)
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the new environment's commands."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    # With this checkout on PYTHONPATH, pip would take the package for installed.
    subprocess.run(install, check=True, env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"})
    packages = next(folder.glob("lib/python*/site-packages"))
    # A path in a .pth file is not searched for .pth files itself, so an editable install of this checkout stays out.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder / "bin"


class Shell:
    """An empty folder, and commands typed in it."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder = folder
        self.binaries = binaries
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("EBM_TRACKING", "PYTHON", "XDG"))
        }
        home = folder / "home"
        home.mkdir()
        self.environment = kept | {"PATH": f"{binaries}:/usr/bin:/bin", "HOME": str(home), "OMP_NUM_THREADS": "1"}

    def type(self, line: str, status: int = 0, **environment: str) -> str:
        """Type a line; returns what it printed, on both streams."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def write(self, name: str, text: str) -> None:
        """Write a script of the user's."""
        (self.folder / name).write_text(text)


@pytest.fixture
def shell(tmp_path: Path, binaries: Path) -> Shell:
    return Shell(tmp_path, binaries)


def test_the_wheel_has_both_packages_and_no_studies(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"ltr", "pytracking", "ebm_tracking"}
    assert "pytracking/networks/dimp_nceplus_lite.safetensors" in names
    assert any(name.startswith("pytracking/demo_data/") for name in names)
    assert any(name.startswith("ltr/dataset/splits/") for name in names)


def test_engineer(shell: Shell) -> None:
    """Five lines of Python, a video, OpenCV's interface, and what a mistake says."""
    readme = (ROOT / "README.md").read_text()
    five_lines = re.search(r"```python\n(import pytracking\n.*?)```", readme, re.DOTALL)
    assert five_lines is not None
    shell.write(
        "five_lines.py",
        "from pytracking import get_dataset\nfrom PIL import Image\nimport numpy as np\n"
        "sequence = get_dataset('demo', sequences=['mug'])[0]\n"
        "images = [np.asarray(Image.open(path)) for path in sequence.frames[:4]]\n"
        "first_image, images = images[0], images[1:]\nx, y, w, h = sequence.ground_truth_rect[0]\n"
        + five_lines.group(1),
    )
    printed = shell.type("python five_lines.py")
    assert printed.count("TrackResult(") == 3 and "flag='normal'" in printed
    shell.write(
        "cv2_style.py",
        "import cv2, pytracking\nvideo = cv2.VideoCapture('clip.avi')\ntracker = pytracking.cv2_tracker('csrt')\n"
        "tracker.init(video.read()[1], (20, 30, 40, 40))\nprint(*tracker.update(video.read()[1]))\n",
    )
    video(shell.folder / "clip.avi")
    assert shell.type("python cv2_style.py").startswith("True (")
    shell.type("ebm-tracking video opencv csrt clip.avi --box 20,30,40,40 --output out")
    assert list((shell.folder / "out").glob("clip*"))
    assert "did you mean 'dimp_nceplus_lite'" in shell.type("ebm-tracking run dimp dimp_nceplus_light", status=2)


def test_pytracking_user(shell: Shell) -> None:
    """PyTracking's command line, names, and an experiments file."""
    visdom = "--use_visdom 0 --visdom_server 127.0.0.1 --visdom_port 8097"
    shell.type(f"ebm-tracking run opencv csrt --dataset_name demo --sequence mug --debug 0 --threads 0 {visdom}")
    shell.write(
        "compare.py",
        "from pytracking.analysis.plot_results import plot_results, print_results\n"
        "from pytracking.evaluation import Tracker, get_dataset, trackerlist\n"
        "trackers = trackerlist('opencv', 'csrt', None, 'CSRT')\n"
        "assert trackers == [Tracker('opencv', 'csrt', None, 'CSRT')]\n"
        "dataset = [s for s in get_dataset('demo') if s.name == 'mug']\nprint_results(trackers, dataset, 'mug')\n",
    )
    assert re.search(r"CSRT\W+8\d\.\d", shell.type("python compare.py"))
    shell.write(
        "myexperiments.py",
        "from pytracking.evaluation import get_dataset, trackerlist\n\n\ndef mug():\n"
        '    """The mug."""\n'
        '    return trackerlist("opencv", "kcf"), [s for s in get_dataset("demo") if s.name == "mug"]\n',
    )
    assert "mug" in shell.type("ebm-tracking experiment myexperiments")
    shell.type("ebm-tracking experiment myexperiments mug")
    assert (shell.folder / "results" / "tracking_results" / "opencv" / "kcf" / "mug.txt").is_file()
    said = shell.type("python -c 'from ltr.data import LTRLoader'", status=1)
    assert "ltr.data.loader.make_loader" in said


def test_evaluator(shell: Shell) -> None:
    """Own sequences, two trackers, a table, a CSV file and plots."""
    for name in ("first", "second"):
        frames(shell.folder / "videos" / name)
    assert "2 of 2" in shell.type("ebm-tracking check folder --dataset_path videos")
    where = "--dataset_name folder --dataset_path videos"
    for tracker in ("opencv csrt", "static default"):
        shell.type(f"ebm-tracking run {tracker} {where}")
    trackers = "opencv/csrt static/default"
    table = shell.type(
        f"ebm-tracking report {trackers} {where} --table --plots --csv table.csv --against static/default --output out"
    )
    assert "opencv/csrt" in table
    assert (shell.folder / "out" / "success_plot.png").is_file()
    rows = list(csv.DictReader((shell.folder / "table.csv").open()))
    assert {(row["sequence"], row["tracker"]) for row in rows} == {
        (sequence, tracker) for sequence in ("first", "second") for tracker in trackers.split()
    }
    shell.type(f"ebm-tracking report {trackers} {where} --html --output out")
    assert "</html>" in (shell.folder / "out" / "report.html").read_text()[-200:]
    assert "page.html" in shell.type(f"ebm-tracking report {trackers} {where} --html page.html --play none")


def test_trainer(shell: Shell) -> None:
    """Check own data, look at a batch, train a few steps, resume, and track with the network."""
    for name in ("first", "second", "third"):
        frames(shell.folder / "videos" / name, count=6)
    data = {"EBM_TRACKING_FOLDER": str(shell.folder / "videos")}
    shell.type("ebm-training check folder", **data)
    recipe = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "own_data.md").read_text(), re.DOTALL)
    assert recipe is not None
    own = re.sub(r'            DataSource\("(coco_format|composited)".*\n', "", recipe.group(1))
    own = own.replace('DataSource("folder", "val")', 'DataSource("folder", "all")').replace(
        '"train", weight', '"all", weight'
    )
    shell.write("mine.py", own)
    small = "epochs=1 batch_size=2 data.samples_per_epoch=4 data.validation_samples=2"
    command = "ebm-training train mine.py --device cpu --num-workers 0 " + " ".join(
        f"--set {word}" for word in small.split()
    )
    assert "mine" in shell.type(command + " --dry-run", **data)
    shell.type(command, **data)
    network = shell.folder / "workspace" / "mine" / "network.safetensors"
    assert network.is_file()
    shell.write(
        "track.py",
        "import numpy as np\nfrom pytracking import load_tracker\n"
        f"tracker = load_tracker('dimp_nceplus_lite', net_path={str(network)!r})\n"
        "image = np.zeros((120, 160, 3), np.uint8)\ntracker.initialize(image, (20, 30, 40, 40))\n"
        "print(tracker.track(image).flag)\n",
    )
    assert shell.type("python track.py").strip() in ("normal", "not_found", "uncertain", "hard_negative")


def picture(step: int) -> np.ndarray:
    """[120, 160, 3] uint8: a textured square that moves two pixels a step over a dim texture."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (120, 160, 3), dtype=np.uint8)
    patch = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (40, 40), interpolation=cv2.INTER_CUBIC)
    image[30:70, 20 + 2 * step : 60 + 2 * step] = patch
    return image


def frames(folder: Path, count: int = 8) -> None:
    """A sequence in the layout of `folder`."""
    (folder / "img").mkdir(parents=True)
    boxes = []
    for step in range(count):
        cv2.imwrite(str(folder / "img" / f"{step + 1:04d}.jpg"), picture(step))
        boxes.append(f"{20 + 2 * step},30,40,40\n")
    (folder / "groundtruth_rect.txt").write_text("".join(boxes))


def video(path: Path) -> None:
    """The same as a video."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (160, 120))
    for step in range(8):
        writer.write(picture(step))
    writer.release()
