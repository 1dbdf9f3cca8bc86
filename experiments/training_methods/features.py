"""The frozen backbone's features of the study's crops, computed once and kept on disk.

All methods and seeds train on them, so a step costs the head's arithmetic alone. A cache is a folder of shards, each
written whole; building goes on where it was stopped. Its name is a checksum of everything that the features depend on:
recipe, network, counts and, for the code and the data, the pixels of the first samples.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from experiments.common import Task, run_tasks
from experiments.training_methods.settings import StudySettings, network_path, study_recipe
from ltr.actors.tracking import Actor, make_actor
from ltr.admin.checkpoint import load_network
from ltr.admin.files import whole_file, write_json
from ltr.data.loader import collate
from ltr.data.sampler import TrackingSampler
from ltr.errors import MissingFileError, UserError
from ltr.models.tracking.tracking_net import BOX_LAYERS
from ltr.train_settings.recipe import Recipe
from ltr.trainers.log import environment
from ltr.trainers.run import make_sampler

SHARD = 100
_PARTS = ("train", "test")
_PROBES = 6


@dataclass(frozen=True)
class CachedCrops:
    """Samples of a split, [n frames, S sequences, ...] as an actor wants them; features are float16 on the CPU.

    Attributes:
        features: 'train' and 'test' -> layer -> [n, S, C, h, w].
        boxes: 'train' and 'test' -> [n, S, 4] (x, y, w, h) in crop pixels.
        sources: S names 'data set:sequence'.
    """

    features: dict[str, dict[str, Tensor]]
    boxes: dict[str, Tensor]
    sources: list[str]

    def __len__(self) -> int:
        return len(self.sources)

    def select(self, index: Tensor | Sequence[int]) -> CachedCrops:
        """The sequences of `index`."""
        rows = torch.as_tensor(index, dtype=torch.long)
        return CachedCrops(
            {part: {name: value[:, rows] for name, value in layers.items()} for part, layers in self.features.items()},
            {part: value[:, rows] for part, value in self.boxes.items()},
            [self.sources[row] for row in rows.tolist()],
        )

    def batches(self, size: int) -> Iterator[CachedCrops]:
        """All sequences in order, `size` at a time."""
        for begin in range(0, len(self), size):
            yield self.select(range(begin, min(begin + size, len(self))))

    def to(self, device: torch.device) -> CachedCrops:
        """On a device, features in float32."""
        return CachedCrops(
            {
                part: {name: value.to(device).float() for name, value in layers.items()}
                for part, layers in self.features.items()
            },
            {part: value.to(device) for part, value in self.boxes.items()},
            self.sources,
        )


def cache_folder(root: Path, settings: StudySettings) -> Path:
    """Where the features of these settings belong, `<root>/<checksum>`; made by `build_cache`."""
    return root / hashlib.sha256(json.dumps(_manifest(settings), sort_keys=True).encode()).hexdigest()[:12]


def build_cache(root: Path, settings: StudySettings, workers: int = 1) -> Path:
    """Compute what is missing of the cache and return its folder.

    Args:
        root: folder of caches.
        workers: processes of one thread each; with 1 all happens here.

    Raises:
        FileNotFoundError: the data set is not where it should be.
        SampleError: a picture or an annotation of it cannot be read.
    """
    folder = cache_folder(root, settings)
    write_json(folder / "manifest.json", _manifest(settings))
    tasks = [
        Task(f"{split} {shard}", _build_shard, (folder, settings, split, shard))
        for split, shard in _shards(settings)
        if not _shard_path(folder, split, shard).is_file()
    ]
    run_tasks("features", tasks, workers)
    return folder


def open_cache(root: Path, settings: StudySettings, split: str) -> CachedCrops:
    """The samples of 'train', 'validation' or 'test'; features stay on disk until they are read.

    Validation and test come from the recipe's validation data and share no sequence: a checksum of its name decides.

    Raises:
        MissingFileError: the cache is not complete.
        UserError: the held-out data have fewer sequences than the settings want.
    """
    folder = cache_folder(root, settings)
    stored = "train" if split == "train" else "heldout"
    shards = [_shard_path(folder, name, shard) for name, shard in _shards(settings) if name == stored]
    missing = [path for path in shards if not path.is_file()]
    if missing:
        raise MissingFileError(f"{missing[0]} and {len(missing) - 1} more are missing: run the command 'cache' first")
    crops = _join([_read_shard(path) for path in shards])
    if split == "train":
        return crops.select(range(settings.train_samples))
    wanted = settings.validation_samples if split == "validation" else settings.test_samples
    rows = [row for row, source in enumerate(crops.sources) if heldout_split(source) == split][:wanted]
    if len(rows) < wanted:
        raise UserError(f"only {len(rows)} of {wanted} sequences for '{split}': there is too little held-out data")
    return crops.select(rows)


def heldout_split(source: str) -> str:
    """'validation' (one in three) or 'test', by a checksum of the sequence's name."""
    return "validation" if zlib.crc32(f"study/{source}".encode()) % 3 == 0 else "test"


def cache_bytes(settings: StudySettings) -> int:
    """Size of the cache on disk."""
    net = load_network(network_path(settings))
    side = settings.crop_size
    with torch.no_grad():
        layers = cast(torch.nn.Module, net.feature_extractor)(torch.zeros(1, 3, side, side), BOX_LAYERS)
    data = study_recipe(settings).data
    per_image = 2 * sum(layer.numel() for layer in layers.values())
    return (data.train_frames + data.test_frames) * per_image * sum(_counts(settings).values())


def _counts(settings: StudySettings) -> dict[str, int]:
    # One in three is validation, give or take: a fifth more than needed, and some for small numbers.
    heldout = max(3 * settings.validation_samples, -(-3 * settings.test_samples // 2))
    return {"train": settings.train_samples, "heldout": heldout + heldout // 5 + 20}


def _shards(settings: StudySettings) -> list[tuple[str, int]]:
    # Held-out crops first: they are few, and evaluation fails early where they cannot be made.
    counts = _counts(settings)
    return [(split, k) for split in ("heldout", "train") for k in range(-(-counts[split] // SHARD))]


def _shard_path(folder: Path, split: str, shard: int) -> Path:
    return folder / f"{split}_{shard:04d}.safetensors"


def _manifest(settings: StudySettings) -> dict[str, object]:
    recipe = study_recipe(settings)
    return {
        "data": asdict(recipe.data),
        "crop": asdict(recipe.crop),
        "precision": settings.precision,
        "seed": recipe.seed,
        "counts": _counts(settings),
        "network": hashlib.sha256(network_path(settings).read_bytes()).hexdigest(),
        "first_samples": _first_samples(_data_settings(settings)),
    }


def _data_settings(settings: StudySettings) -> StudySettings:
    """The same crops with everything else at its default."""
    kept = ("crop_size", "search_area", "centre_jitter", "recipe", "data_seed")
    return StudySettings(**{name: getattr(settings, name) for name in kept})


@lru_cache(maxsize=4)
def _first_samples(settings: StudySettings) -> str:
    """Checksum of the first samples' pixels and boxes: it changes with the data and with the code that makes them."""
    recipe, digest = study_recipe(settings), hashlib.sha256()
    for split in ("heldout", "train"):
        sampler = _sampler(recipe, split, _PROBES)
        for row in range(_PROBES):
            sample = sampler[(0, row)]
            digest.update(sample["source"].encode())
            for name in sorted(set(sample) - {"source"}):
                digest.update(sample[name].numpy().tobytes())
    return digest.hexdigest()


def _sampler(recipe: Recipe, split: str, count: int) -> TrackingSampler:
    """Samples of the recipe's training data, or of its validation data for 'heldout'."""
    sources = recipe.data.train if split == "train" else recipe.data.validation
    return make_sampler(recipe, sources, count, recipe.seed + (split != "train"))


def _build_shard(folder: Path, settings: StudySettings, split: str, shard: int) -> None:
    """Draw, cut and run one shard of samples through the backbone."""
    recipe = study_recipe(settings)
    count = _counts(settings)[split]
    sampler = _sampler(recipe, split, count)
    actor = cast(Actor, make_actor(recipe, load_network(network_path(settings))))
    actor.net.eval()
    parts: dict[str, list[Tensor]] = {}
    sources: list[str] = []
    rows = range(shard * SHARD, min((shard + 1) * SHARD, count))
    for begin in range(rows.start, rows.stop, 10):
        batch = collate([sampler[(0, row)] for row in range(begin, min(begin + 10, rows.stop))])
        with torch.no_grad():
            found = actor.features(batch["train_images"], batch["test_images"])
        for part, layers in zip(_PARTS, found):
            parts.setdefault(f"{part}_boxes", []).append(batch[f"{part}_boxes"])
            for name in BOX_LAYERS:
                parts.setdefault(f"{part}_{name}", []).append(layers[name].half())
        sources += batch["sources"]
    tensors = {name: torch.cat(values, dim=1).contiguous() for name, values in parts.items()}
    with whole_file(_shard_path(folder, split, shard)) as temporary:
        save_file(tensors, temporary, metadata={"sources": json.dumps(sources), "commit": environment()["commit"]})


def _read_shard(path: Path) -> CachedCrops:
    with safe_open(path, framework="pt", device="cpu") as stored:
        sources = json.loads(stored.metadata()["sources"])
        features = {part: {name: stored.get_tensor(f"{part}_{name}") for name in BOX_LAYERS} for part in _PARTS}
        boxes = {part: stored.get_tensor(f"{part}_boxes") for part in _PARTS}
    return CachedCrops(features, boxes, sources)


def _join(shards: list[CachedCrops]) -> CachedCrops:
    return CachedCrops(
        {
            part: {name: torch.cat([shard.features[part][name] for shard in shards], dim=1) for name in BOX_LAYERS}
            for part in _PARTS
        },
        {part: torch.cat([shard.boxes[part] for shard in shards], dim=1) for part in _PARTS},
        [source for shard in shards for source in shard.sources],
    )
