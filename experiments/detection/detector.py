"""The frozen detector: its interface, torchvision's Faster R-CNN behind it, and given boxes on ImageNet features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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

from experiments.detection.coco_files import AnnotatedImage, Detections
from experiments.detection.head import FeaturePyramid
from ltr.admin.files import whole_file
from ltr.data.image import read_image
from ltr.errors import PretrainedWeightsError
from ltr.models.backbone.efficientnet_lite import EfficientNetLite0
from ltr.ops.boxes import xyxy_to_xywh

# The levels that the box head reads; torchvision's fifth, 'pool', is the region proposals' alone.
_LEVELS = {"0": 4, "1": 8, "2": 16, "3": 32}


class FrozenDetector(Protocol):
    """What the study needs of a detector.

    Attributes:
        channels: Number of channels of the features.
        identity: Name of the features, for caches.
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
        statistics = (self.backbone.input_mean, self.backbone.input_std)
        mean, std = (pixels.new_tensor(value)[:, None, None] * 255 for value in statistics)
        found = self.backbone(((pixels - mean) / std)[None], ("layer2", "layer3"))
        fine, coarse = found["layer2"], found["layer3"]
        coarse = interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        scale = (image.shape[1] / width, image.shape[0] / height)
        return FeaturePyramid((torch.cat((fine, coarse), dim=1)[0],), (self._stride,), scale)

    def detect(self, images: Sequence[np.ndarray], identities: Sequence[int]) -> list[Detections]:
        """The given ones; the images are not looked at."""
        nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
        return [self.detections.get(identity, nothing) for identity in identities]

    def box_head_layers(self) -> None:
        """There is no box head."""
        return


def torchvision_model(weights: str = "") -> nn.Module:
    """Faster R-CNN R50-FPN with COCO's 91 labels, which are COCO's category ids.

    Args:
        weights: a state dict file of torchvision's; empty lets torchvision fetch COCO_V1.

    Raises:
        PretrainedWeightsError: torchvision is missing, or does not fit the torch that is installed, or the file does
            not fit.
    """
    try:
        from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, fasterrcnn_resnet50_fpn
    except (ImportError, RuntimeError) as error:
        # A torchvision built for another torch raises RuntimeError: operator torchvision::nms does not exist.
        raise PretrainedWeightsError(
            f"the detector 'fasterrcnn' needs torchvision, built for the torch that is installed ({error}): "
            "pip install 'ebm-tracking[detection]', or set detector.name=lite0 and give boxes"
        ) from error
    if not weights:
        try:
            trained: nn.Module = fasterrcnn_resnet50_fpn(weights=FasterRCNN_ResNet50_FPN_Weights.COCO_V1)
        except OSError as error:
            raise PretrainedWeightsError(
                f"torchvision could not fetch its weights ({error}): give their file, detector.weights=FILE"
            ) from error
        return trained
    model: nn.Module = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
    try:
        model.load_state_dict(torch.load(Path(weights), map_location="cpu", weights_only=True))
    except (OSError, RuntimeError) as error:
        raise PretrainedWeightsError(f"{weights} does not fit torchvision's Faster R-CNN R50-FPN: {error}") from error
    return model


class FasterRCNN:
    """`FrozenDetector` around a torchvision detector.

    Args:
        model: has `transform`, `backbone` and `roi_heads.box_head` as `torchvision.models.detection.FasterRCNN`.
        device: device of the model and the features.
    """

    def __init__(self, model: Any, device: torch.device | str = "cpu") -> None:
        self.model = model.requires_grad_(False).eval().to(device)
        self.device = torch.device(device)
        self.channels = int(self.model.backbone.out_channels)
        self.identity = "fasterrcnn-r50-fpn"

    def _tensors(self, images: Sequence[np.ndarray]) -> list[Tensor]:
        return [torch.from_numpy(image).to(self.device).permute(2, 0, 1).float() / 255 for image in images]

    @torch.no_grad()
    def pyramids(self, images: Sequence[np.ndarray]) -> list[FeaturePyramid]:
        """See `FrozenDetector`. The maps of a batch are padded alike; a box lies where torchvision would put it."""
        scaled, _ = self.model.transform(self._tensors(images))
        maps = self.model.backbone(scaled.tensors)
        found = []
        for place, (image, (height, width)) in enumerate(zip(images, scaled.image_sizes)):
            scale = (width / image.shape[1], height / image.shape[0])
            found.append(FeaturePyramid(tuple(maps[name][place] for name in _LEVELS), tuple(_LEVELS.values()), scale))
        return found

    @torch.no_grad()
    def detect(self, images: Sequence[np.ndarray], identities: Sequence[int]) -> list[Detections]:
        """See `FrozenDetector`; after non-maximum suppression, at most 100 an image, as torchvision is set."""
        found = []
        for each in self.model(self._tensors(images)):
            boxes = xyxy_to_xywh(each["boxes"].cpu())
            kept = (boxes[:, 2:] > 0).all(1)
            found.append(Detections(boxes[kept], each["scores"].cpu()[kept], each["labels"].cpu()[kept]))
        return found

    def box_head_layers(self) -> tuple[nn.Linear, nn.Linear]:
        """fc6 [1024, 256 * 7 * 7] and fc7 [1024, 1024] of the two-layer box head."""
        head = self.model.roi_heads.box_head
        return head.fc6, head.fc7


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
    # Batches are lists of rows.
    options: dict[str, Any] = {"batch_sampler": order, "collate_fn": list}
    for rows in DataLoader(_Images(images, folder), num_workers=workers, **options):
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
    return replace(pyramid, maps=tuple(each.to(device, non_blocking=True) for each in pyramid.maps))
