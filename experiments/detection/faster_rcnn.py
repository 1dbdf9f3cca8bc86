"""torchvision's Faster R-CNN R50-FPN as the frozen detector of the study, through its public interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.detection.coco_files import Detections
from experiments.detection.pooling import FeaturePyramid
from ltr.errors import PretrainedWeightsError
from ltr.ops.boxes import xyxy_to_xywh

# The levels that the box head reads; torchvision's fifth, 'pool', is the region proposals' alone.
_LEVELS = {"0": 4, "1": 8, "2": 16, "3": 32}


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
        device: of the model and the features.
    """

    channels: int

    def __init__(self, model: nn.Module, device: torch.device | str = "cpu") -> None:
        self.model = model.requires_grad_(False).eval().to(device)
        self.device = torch.device(device)
        self.channels = int(self._part("backbone").out_channels)
        self.identity = "fasterrcnn-r50-fpn"

    def _part(self, name: str) -> Any:
        return getattr(self.model, name)

    def _tensors(self, images: Sequence[np.ndarray]) -> list[Tensor]:
        return [torch.from_numpy(image).to(self.device).permute(2, 0, 1).float() / 255 for image in images]

    @torch.no_grad()
    def pyramids(self, images: Sequence[np.ndarray]) -> list[FeaturePyramid]:
        """See `FrozenDetector`. The maps of a batch are padded alike; a box lies where torchvision would put it."""
        scaled, _ = self._part("transform")(self._tensors(images))
        maps = self._part("backbone")(scaled.tensors)
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
        head = self._part("roi_heads").box_head
        return head.fc6, head.fc7
