"""Annotation files, JSON, TOML, local.py and .mat files with a fixed number of random changes: our own errors only."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from ltr.admin.inputs import read_json, read_toml
from ltr.dataset.boxfile import read_boxes, read_flags, read_names, read_polygons
from ltr.dataset.coco import decode_mask, read_objects
from ltr.dataset.folders import ImageBoxes
from ltr.errors import UserError
from pytracking.analysis.annotations import find_sequences
from pytracking.evaluation.foreign import read_foreign
from pytracking.evaluation.pathsfile import read_local_py, write_paths

ROUNDS = 150
# What has broken readers before, put in the place of a random piece of the file.
PIECES = [
    b"", b"\xff", b"\x00", b"\xc2\xb2", b"\xd9\xa1", b"--5", b"1_0", b"inf", b"nan", b"-1", b"1e400", b"9" * 30,
    b"9" * 5000, b"[" * 3000, b"{" * 3000, b"(" * 300, b"-" * 3000, b'"', b"'", b",", b"\n", b"\r", b"null", b"true",
    b"\\ud800", b"../x", b"/", b"{}", b"[]", b'"x"', b"\x1b[31m", b"1" * 18, b"\xe2\x80\xa8", b"#", b"=",
]  # fmt: skip

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 30, "height": 20}],
    "annotations": [
        {"id": 1, "image_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0},
        {"id": 2, "image_id": 1, "segmentation": [[1, 2, 9, 2, 9, 9]]},
        {"id": 3, "image_id": 1, "segmentation": {"size": [20, 30], "counts": [100, 50, 450]}},
    ],
}
PYSOT = {"a": {"gt_rect": [[1, 2, 3, 4], [5, 6, 7, 8]], "absent": [1, 1]}, "b": {"gt_rect": [[1, 2, 3, 4]]}}
OTB = [{"seqName": "a", "resType": "rect", "res": [[1, 2, 3, 4], [5, 6, 7, 8]], "fps": 20}]
LOCAL = "settings.otb_path = '/data/otb'\nself.lasot_dir: str = '/data/lasot'\nx = [1, (2, 3)]\n"


def read_masks(path: Path) -> None:
    for item in read_objects(path):
        if item.segmentation is not None:
            decode_mask(item.segmentation, (30, 20))


def read_table(path: Path) -> None:
    (path.parent / "images").mkdir(exist_ok=True)
    (path.parent / "images" / "a.jpg").touch()
    ImageBoxes(path.parent, "things")


READERS: list[tuple[str, bytes, Callable[[Path], object]]] = [
    ("boxes.txt", b"1,2,3,4\n5\t6\t7.5\t8\nnan nan nan nan\n", read_boxes),
    ("polygons.txt", b"1,2,3,4\n0\n1,2,3,2,3,4,1,4\n", read_polygons),
    ("flags.label", b"0,1,0\n8\n", read_flags),
    ("list.txt", b"ball\nJogging-1\n", read_names),
    ("boxes.csv", b'image,x,y,w,h\na.jpg,1,2,30,40\n"a.jpg",1.5,2,30,40\n', read_table),
    ("coco.json", json.dumps(COCO).encode(), read_masks),
    ("pysot.json", json.dumps(PYSOT).encode(), lambda path: find_sequences("folder", path)),
    ("a.json", json.dumps(OTB).encode(), lambda path: read_foreign(path.parent, "otb")),
    ("any.json", json.dumps([COCO, 1.5, None]).encode(), read_json),
    ("any.toml", b'a = 1\n[paths]\notb = "/otb"\nb = [1, 2.5, {c = 2}]\n', read_toml),
    ("paths.toml", b'# mine\n[paths]\notb = "/otb"\n[other]\nb = [1]\n', lambda path: write_paths(path, {"nfs": path})),
    ("local.py", LOCAL.encode(), read_local_py),
]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to three pieces replaced, left out or doubled."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randint(0, len(data))
        end = min(len(data), start + rng.choice((0, 1, 2, 8)))
        piece = rng.choice([*PIECES, data[start:end] * 2, bytes(rng.randbytes(2))])
        data = data[:start] + piece + data[end:]
    return data


def survives(path: Path, read: Callable[[Path], object]) -> bool:
    """Whether a file is read; False for an error of ours, which is one line, or fits one."""
    try:
        read(path)
    except UserError as error:
        assert str(path.parent) in str(error) or len(str(error)) < 300
        return False
    return True


@pytest.mark.parametrize(("name", "content", "read"), READERS, ids=[name for name, _, _ in READERS])
def test_changed_files_are_read_or_refused(
    name: str, content: bytes, read: Callable[[Path], object], tmp_path: Path
) -> None:
    rng = random.Random(name)
    path = tmp_path / name
    path.write_bytes(content)
    assert survives(path, read)
    outcomes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(ROUNDS):
            path.write_bytes(mutate(content, rng))
            outcomes.append(survives(path, read))
    assert not all(outcomes), "some of the changes must be noticed"


def test_changed_matlab_files_are_read_or_refused(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "a_MDNet.mat"
    scipy_io.savemat(path, {"results": [{"type": "rect", "res": [[1.0, 2, 3, 4], [5, 6, 7, 8]], "fps": 20.0}]})
    content, rng = path.read_bytes(), random.Random("mat")
    left = [path]
    for number in range(ROUNDS):
        left.append(tmp_path / f"{number}.mat")
        left[-1].write_bytes(mutate(content, rng))
    refused = []
    while left:
        command = [sys.executable, "-m", "pytracking.evaluation.matfiles", *map(str, left)]
        done = subprocess.run(command, capture_output=True, timeout=120)
        refused += ["error" in json.loads(line) for line in done.stdout.splitlines()]
        # A crash of the library ends the process, and is named by who started it; a traceback is ours.
        assert done.returncode <= 0 and b"Traceback" not in done.stderr
        left = left[len(done.stdout.splitlines()) + 1 :]
    assert not refused[0] and any(refused)
