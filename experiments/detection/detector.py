"""The frozen detector behind one small interface, and one without a detector: given boxes on ImageNet features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset

from experiments.detection.coco_files import AnnotatedImage, Detections, no_detections
from experiments.detection.pooling import FeaturePyramid
from ltr.admin.files import whole_file
from ltr.data.image import read_image
from ltr.models.backbone.efficientnet_lite import EfficientNetLite0


class FrozenDetector(Protocol):
    """What the study needs of a detector.

    Attributes:
        channels: of the features.
        identity: says which features these are, for caches.
    """

    channels: int
    identity: str

    def pyramids(self, images: Sequence[np.ndarray]) -> list[FeaturePyramid]:
        """Features of images [H, W, 3] uint8 RGB, without gradient, on the detector's device."""

    def detect(self, images: Sequence[np.ndarray], identities: Sequence[int]) -> list[Detections]:
        """What is found in the images, on the CPU. `identities`: COCO's image ids."""

    def box_head_layers(self) -> tuple[nn.Linear, nn.Linear] | None:
        """fc6 and fc7 of the detector's box head, to start the energy head from; None where there is none."""


class GivenBoxes:
    """Features of a frozen EfficientNet-Lite0, and detections that were given.

    Layers of strides 8 and 16 (40 and 112 channels) become one map of stride 8, the coarser one interpolated.

    Args:
        detections: by COCO's image id; an image without any has none.
        longest_side: images are scaled to it, in pixels; 0 leaves them.
        backbone: with ImageNet's weights where None.

    Raises:
        PretrainedWeightsError: the weights are not installed.
    """

    channels = 152
    _stride = 8

    def __init__(
        self,
        detections: Mapping[int, Detections] | None = None,
        longest_side: int = 0,
        device: torch.device | str = "cpu",
        backbone: EfficientNetLite0 | None = None,
    ) -> None:
        if backbone is None:
            backbone = EfficientNetLite0("layer3")
            backbone.load_imagenet()
        self.backbone = backbone.requires_grad_(False).eval().to(device)
        self.detections, self.longest_side, self.device = detections or {}, longest_side, torch.device(device)
        self.identity = f"lite0-{longest_side}"

    @torch.no_grad()
    def pyramids(self, images: Sequence[np.ndarray]) -> list[FeaturePyramid]:
        """See `FrozenDetector`; an image at a time, since their sizes differ."""
        return [self._pyramid(image) for image in images]

    def _pyramid(self, image: np.ndarray) -> FeaturePyramid:
        height, width = image.shape[:2]
        factor = self.longest_side / max(height, width) if self.longest_side else 1.0
        if factor != 1.0:
            shape = (max(1, round(width * factor)), max(1, round(height * factor)))
            image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        pixels = torch.from_numpy(image).to(self.device).permute(2, 0, 1).float()
        mean, std = (pixels.new_tensor(value)[:, None, None] * 255 for value in _normalisation(self.backbone))
        found = self.backbone(((pixels - mean) / std)[None], ("layer2", "layer3"))
        fine, coarse = found["layer2"], found["layer3"]
        coarse = interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        scale = (image.shape[1] / width, image.shape[0] / height)
        return FeaturePyramid((torch.cat((fine, coarse), dim=1)[0],), (self._stride,), scale)

    def detect(self, images: Sequence[np.ndarray], identities: Sequence[int]) -> list[Detections]:
        """The given ones; the images are not looked at."""
        return [self.detections.get(identity, no_detections()) for identity in identities]

    def box_head_layers(self) -> None:
        """There is no box head."""
        return


def _normalisation(backbone: EfficientNetLite0) -> tuple[Sequence[float], Sequence[float]]:
    return backbone.input_mean, backbone.input_std


def batches(
    detector: FrozenDetector,
    images: Sequence[AnnotatedImage],
    order: Sequence[Sequence[int]],
    *,
    cache: Path | None = None,
    workers: int = 0,
) -> Iterator[tuple[list[AnnotatedImage], list[FeaturePyramid]]]:
    """Images with their features, batch by batch.

    Args:
        order: rows of `images` of every batch.
        cache: folder with a file of features an image, which are made where they are missing; None keeps none.
        workers: processes that read images.
    """
    folder = None if cache is None else cache / detector.identity
    source = _Images(images, folder)
    loader: DataLoader[Any] = DataLoader(
        source,
        batch_sampler=order,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_as_is,
    )
    for rows in loader:
        pyramids: list[FeaturePyramid | None] = [pyramid for _, _, pyramid in rows]
        missing = [place for place, pyramid in enumerate(pyramids) if pyramid is None]
        if missing:
            made = detector.pyramids([rows[place][1] for place in missing])
            for place, pyramid in zip(missing, made):
                pyramids[place] = pyramid
                if folder is not None:
                    path = _cache_file(folder, images[rows[place][0]])
                    save_pyramid(path, pyramid)
                    # Rounded as it will be the next time, so that a resumed run is the same run.
                    pyramids[place] = load_pyramid(path)
        yield [images[row[0]] for row in rows], [pyramid for pyramid in pyramids if pyramid is not None]


def save_pyramid(path: Path, pyramid: FeaturePyramid) -> None:
    """Write features in half precision."""
    tensors = {f"map{level}": each.half().cpu().contiguous() for level, each in enumerate(pyramid.maps)}
    about = torch.tensor([*pyramid.scale, *pyramid.strides], dtype=torch.float64)
    with whole_file(path) as temporary:
        save_file({**tensors, "about": about}, temporary)


def load_pyramid(path: Path) -> FeaturePyramid:
    """What `save_pyramid` wrote, in single precision on the CPU."""
    with safe_open(path, framework="pt", device="cpu") as stored:
        about = stored.get_tensor("about").tolist()
        maps = tuple(stored.get_tensor(f"map{level}").float() for level in range(len(about) - 2))
    return FeaturePyramid(maps, tuple(int(stride) for stride in about[2:]), (about[0], about[1]))


def _cache_file(folder: Path, image: AnnotatedImage) -> Path:
    return folder / f"{image.identity}_{image.path.stem}.safetensors"


def _as_is(rows: list[Any]) -> list[Any]:
    return rows


class _Images(Dataset[tuple[int, np.ndarray | None, FeaturePyramid | None]]):
    """(row, image, features): the features where the cache has them, the image where not."""

    def __init__(self, images: Sequence[AnnotatedImage], cache: Path | None) -> None:
        self.images, self.cache = images, cache

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[int, np.ndarray | None, FeaturePyramid | None]:
        if self.cache is not None:
            path = _cache_file(self.cache, self.images[row])
            if path.is_file():
                return row, None, load_pyramid(path)
        return row, read_image(self.images[row].path), None


def to_device(pyramid: FeaturePyramid, device: torch.device) -> FeaturePyramid:
    """The features on a device."""

    def moved(each: Tensor) -> Tensor:
        return each.to(device, non_blocking=True)

    return FeaturePyramid(tuple(moved(each) for each in pyramid.maps), pyramid.strides, pyramid.scale)
