"""ATOM's network: a ResNet-18 and the box head. Its classifier is learned online and has no offline weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ltr.models.backbone.pretrained import load_imagenet
from ltr.models.backbone.resnet import ResNet, resnet18
from ltr.models.bbreg.box_head import BoxHead
from ltr.models.tracking.tracking_net import BOX_LAYERS, TrackingNet


class AtomNet(TrackingNet):
    """Backbone and box head (ATOM, section 3.1); arguments as for `DiMPNet`."""

    def __init__(self, feature_extractor: ResNet, bb_regressor: BoxHead) -> None:
        super().__init__(feature_extractor)
        self.bb_regressor = bb_regressor

    def forward(self, train_imgs: Tensor, test_imgs: Tensor, train_bb: Tensor, test_proposals: Tensor) -> Tensor:
        """Scores [n_test, S, M] of proposals; arguments as for `DiMPNet.forward`."""
        train = self.extract_features(train_imgs)
        test = self.extract_features(test_imgs)
        return self.bb_regressor(
            [train[name] for name in BOX_LAYERS], [test[name] for name in BOX_LAYERS], train_bb, test_proposals
        )


def atom_resnet18(*, backbone_pretrained: bool = False, frozen_backbone_layers: Sequence[str] = ()) -> AtomNet:
    """ATOM on a ResNet-18."""
    backbone = resnet18()
    if backbone_pretrained:
        load_imagenet(backbone, "resnet18")
    backbone.freeze(frozen_backbone_layers)
    return AtomNet(backbone, BoxHead((128, 256)))
