"""What loading training data costs on this machine: decoders, augmentation, the loader, and the start of a run.

    python -m experiments.benchmarks.loading decoders --images /data/got10k/train/GOT-10k_Train_000001
    python -m experiments.benchmarks.loading augmentation
    python -m experiments.benchmarks.loading loader --recipe dimp_nceplus_lite --workers 0 1 2
    python -m experiments.benchmarks.loading index --sequences 30000 --frames 47

`index` writes annotations of made-up videos to a temporary folder, starts on them twice and deletes them.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
import timeit
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch

from experiments.benchmarks.speed import describe_machine
from experiments.common import command_line
from ltr.data.augmentation import apply_colour_map, colour_map
from ltr.data.image import IMAGE_SUFFIXES, read_image, read_shrunk
from ltr.data.loader import make_loader
from ltr.data.sampler import TrackingSampler
from ltr.dataset.index import index_file
from ltr.dataset.tracking_net import TrackingNet
from ltr.errors import MissingPackageError, UserError, exit_status
from ltr.run_training import load_recipe
from ltr.train_settings.recipe import with_changes
from ltr.train_settings.sources import open_sources
from ltr.trainers.run import sampler_of

_SETS = 12
_REPEATS = 3


def machine() -> str:
    """The processor, how many cores there are and how many other programs want them."""
    found, load = describe_machine(), os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"{found['processor']}, {found['cores']} cores, load {load:.1f} at the start"


def _opencv(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def _at(shrink: int) -> Callable[[Path], np.ndarray]:
    return lambda path: read_shrunk(path, None, lambda size: shrink).image


WHOLE: dict[str, Callable[[Path], np.ndarray]] = {"opencv": _opencv, "simplejpeg": read_image}
DECODERS = {**WHOLE, **{f"at 1/{shrink}": _at(shrink) for shrink in (2, 4, 8)}}


def _read_all(read: Callable[[Path], np.ndarray], paths: list[Path]) -> list[np.ndarray]:
    return [read(path) for path in paths]


def decoders(options: argparse.Namespace) -> None:
    """Milliseconds an image of each decoder, the best of three rounds, whether they agree, and at reduced size."""
    found = [path for path in sorted(options.images.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]
    paths = found[:: max(1, len(found) // options.count)][: options.count]
    if not paths:
        raise UserError(f"{options.images} has no images")
    cv2.setNumThreads(0)
    images = {name: _read_all(read, paths) for name, read in DECODERS.items()}
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(_REPEATS):
        for name, read in DECODERS.items():
            times[name].append(timeit.timeit(partial(_read_all, read, paths), number=1) / len(paths))
    height, width = np.mean([image.shape[:2] for image in images["simplejpeg"]], axis=0)
    print(f"{len(paths)} images of {width:.0f} x {height:.0f} pixels on average, read and decoded in one thread")
    for name in DECODERS:
        print(f"  {name:12s} {1000 * min(times[name]):7.3f} ms an image")
    pairs = zip(*(images[name] for name in WHOLE))
    print(f"  largest difference of a pixel: {max(int(abs(a.astype(int) - b).max()) for a, b in pairs)}")


def augmentation(options: argparse.Namespace) -> None:
    """Milliseconds a crop of colour jitter: ours on uint8, kornia's on float32 batches, in one thread."""
    try:
        from kornia.augmentation import ColorJiggle
    except ImportError as error:
        raise MissingPackageError("the comparison needs kornia: pip install 'ebm-tracking[augment]'") from error
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (options.crops, options.size, options.size, 3), dtype=np.uint8)
    theirs = ColorJiggle(0.2, 0.2, 0.2, 0.05, p=1.0)

    def ours() -> None:
        for crop in crops:
            apply_colour_map(crop, colour_map(1.1, 0.9, 1.2, 0.2, False))

    def kornias() -> None:
        batch = torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255)
        theirs(batch).mul_(255).round_().clamp_(0, 255).byte()

    print(f"colour jitter of {options.crops} crops of {options.size} x {options.size} pixels, uint8 to uint8")
    for name, call in (("ltr.data.augmentation", ours), ("kornia ColorJiggle", kornias)):
        print(f"  {name:22s} {1000 * best_time(call) / options.crops:7.3f} ms a crop")


def best_time(call: Callable[[], object]) -> float:
    """Seconds of the quickest of a few calls, after one that does not count."""
    call()
    return min(timeit.repeat(call, number=1, repeat=_REPEATS))


def loader(options: argparse.Namespace) -> None:
    """Samples and images a second of a recipe's loader, and where the time of a sample goes."""
    recipe = with_changes(load_recipe([options.recipe]), options.set)
    start = time.perf_counter()
    sources = open_sources(recipe.data.train, recipe.seed)
    print(f"{recipe.name}: {len(sources)} data sets opened in {time.perf_counter() - start:.1f} s")
    frames = recipe.data.train_frames + recipe.data.test_frames
    batches = max(options.samples // recipe.batch_size, 1)
    print(f"{batches} batches of {recipe.batch_size} samples of {frames} frames, crops of {recipe.crop.output_size} px")
    rates = {}
    for workers in options.workers:
        # Work on batches to come is under way at the first and at the last moment that count alike.
        whole = (batches + 1 + 2 * workers) * recipe.batch_size
        rates[workers] = _measured_rate(
            make_loader(sampler_of(recipe, sources, whole, 0), recipe.batch_size, workers), batches
        )
        print(f"  {workers} workers: {rates[workers]:7.1f} samples/s, {rates[workers] * frames:7.1f} images/s")
    parts = _parts(sampler_of(recipe, sources, options.samples, 0), min(options.samples, 200))
    total = sum(parts.values())
    print("a sample in one process, without workers:")
    for name, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {name:34s} {1000 * seconds:7.2f} ms {seconds / total:6.0%}")
    _explain(rates, total, max(parts, key=lambda name: parts[name]))


def _measured_rate(loader: Any, batches: int) -> float:
    """Samples a second over `batches` batches, from the first one's arrival on."""
    loader.set_epoch(0)
    iterator = iter(loader)
    next(iterator)
    start = time.perf_counter()
    count = sum(len(next(iterator)["sources"]) for _ in range(batches))
    return count / (time.perf_counter() - start)


def _parts(sampler: TrackingSampler, samples: int) -> dict[str, float]:
    """Seconds a sample of annotation, frames, crops and the rest."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                spent[name] += time.perf_counter() - start

        return call

    parts = {"sequence_info": "annotation (or a video's plan)", "frames": "frames: read, decoded or rendered"}
    sampler.processing = timed("crops and augmentation", sampler.processing)  # type: ignore[assignment]
    with ExitStack() as stack:
        for dataset, (method, name) in itertools.product([dataset for dataset, _ in sampler.datasets], parts.items()):
            stack.enter_context(patch.object(dataset, method, timed(name, getattr(dataset, method))))
        start = time.perf_counter()
        for index in range(samples):
            sampler[(1, index)]
        whole = time.perf_counter() - start
    spent["the rest"] = whole - sum(spent.values())
    return {name: seconds / samples for name, seconds in spent.items()}


def _explain(rates: dict[int, float], seconds: float, largest: str) -> None:
    workers = max(rates)
    busy = rates[workers] * seconds
    cores = os.cpu_count() or 1
    print(
        f"{workers} workers do the work of {busy:.1f} processes that never wait, on {cores} cores: what limits is the "
        f"{'processor' if busy > 0.6 * min(max(workers, 1), cores) else 'waiting (disk, other programs, hand-over)'}, "
        f"most of it for '{largest}'"
    )


def index(options: argparse.Namespace) -> None:
    """Seconds of the first and of later starts on made-up annotations in TrackingNet's layout."""
    with tempfile.TemporaryDirectory(prefix="ebm-tracking-") as name, patch.dict(os.environ):
        root = Path(name)
        os.environ["EBM_TRACKING_CACHE"] = str(root / "cache")
        start = time.perf_counter()
        write_annotations(root / "data", options.sequences, options.frames)
        total = options.sequences * options.frames
        print(f"{options.sequences} sequences, {total} frames; written in {time.perf_counter() - start:.1f} s")
        for label in ("first start (annotations are read)", *["later start (from the index)"] * _REPEATS):
            start, busy = time.perf_counter(), time.process_time()
            data = TrackingNet(root / "data", "all")
            seconds, busy = time.perf_counter() - start, time.process_time() - busy
            print(f"  {label:36s} {seconds:7.2f} s, {busy:.2f} s of them the processor's")
        size = index_file(data.name, root / "data").stat().st_size
        print(f"  the index takes {size / 1e6:.1f} MB; {len(data)} sequences, {len(data.index.boxes)} boxes")


def write_annotations(root: Path, sequences: int, frames: int) -> None:
    """Box files of made-up videos, spread over TrackingNet's twelve sets."""
    rng = np.random.default_rng(0)
    for number in range(_SETS):
        (root / f"TRAIN_{number}" / "anno").mkdir(parents=True)
    for number in range(sequences):
        boxes = np.array((300, 200, 120, 90)) + np.cumsum(rng.normal(0, 2, (frames, 4)), axis=0)
        text = "".join("{:.2f},{:.2f},{:.2f},{:.2f}\n".format(*box) for box in np.maximum(boxes, 10).tolist())
        (root / f"TRAIN_{number % _SETS}" / "anno" / f"video{number:06d}_0.txt").write_text(text, encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = command_line("benchmarks.loading", __doc__)
    modes = result.add_subparsers(dest="mode", required=True)
    one = modes.add_parser("decoders", help="milliseconds an image of each JPEG decoder")
    one.add_argument("--images", type=Path, required=True, help="a folder of images, searched in depth")
    one.add_argument("--count", type=int, default=200, help="images, evenly spread (%(default)s)")
    one = modes.add_parser("augmentation", help="colour jitter here and by kornia")
    one.add_argument("--crops", type=int, default=12, help="crops of a batch (%(default)s)")
    one.add_argument("--size", type=int, default=352, help="side in pixels (%(default)s)")
    one = modes.add_parser("loader", help="samples and images a second of a recipe's loader")
    one.add_argument(
        "--recipe", default="dimp_nceplus_lite", help="its data sets must be on this machine (%(default)s)"
    )
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the recipe")
    one.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of processes to measure")
    one.add_argument("--samples", type=int, default=400, help="samples a measurement (%(default)s)")
    one = modes.add_parser("index", help="first and later starts on made-up annotations")
    one.add_argument("--sequences", type=int, default=30000, help="videos (%(default)s)")
    one.add_argument("--frames", type=int, default=47, help="frames of a video (%(default)s)")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    options = parser().parse_args(arguments)
    print(machine())
    modes = {"decoders": decoders, "augmentation": augmentation, "loader": loader, "index": index}
    return exit_status(lambda: modes[options.mode](options))


if __name__ == "__main__":
    sys.exit(main())
