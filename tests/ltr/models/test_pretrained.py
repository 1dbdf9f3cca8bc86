"""ImageNet weights from a file that stands for the internet: download, cache, checksum, by hand, offline."""

from __future__ import annotations

import hashlib

import pytest
import torch
from golden import fill_by_rule

from ltr.models.backbone import pretrained
from ltr.models.backbone.resnet import resnet18
from ltr.models.tracking.dimpnet import dimpnet18


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A 'published' file of ResNet-18 weights, with the beginning of its sha256 in its name."""
    folder = tmp_path_factory.mktemp("server")
    weights = fill_by_rule(resnet18()).state_dict()
    torch.save(weights, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    path = folder / f"resnet18-{digest[:8]}.pth"
    (folder / "new.pth").rename(path)
    return weights, path


@pytest.fixture
def cache(tmp_path, monkeypatch, published):
    """TORCH_HOME in a fresh folder, and the URL of the published file; returns where the file belongs."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(pretrained, "IMAGENET_URLS", {"resnet18": published[1].as_uri()})
    return tmp_path / "torch" / "hub" / "checkpoints" / published[1].name


def test_it_is_downloaded_once_with_a_progress_bar(cache, published, monkeypatch, capsys):
    weights, _ = published
    backbone = resnet18()
    pretrained.load_imagenet(backbone, "resnet18")
    assert all(torch.equal(value, backbone.state_dict()[name]) for name, value in weights.items())
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
    assert "100%" in capsys.readouterr().err

    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("downloaded again"))
    net = dimpnet18(backbone_pretrained=True)
    assert torch.equal(net.feature_extractor.state_dict()["fc.weight"], weights["fc.weight"])


def test_a_file_put_there_by_hand_is_used(cache, published, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("downloaded"))
    cache.parent.mkdir(parents=True)
    cache.write_bytes(published[1].read_bytes())
    pretrained.load_imagenet(resnet18(), "resnet18")


def test_a_wrong_or_cut_off_file_put_there_by_hand_is_refused(cache, published):
    cache.parent.mkdir(parents=True)
    cache.write_bytes(published[1].read_bytes()[:-1])
    with pytest.raises(RuntimeError, match=r"its sha256 begins with [0-9a-f]{8}, not .*Delete it") as caught:
        pretrained.load_imagenet(resnet18(), "resnet18")
    assert str(cache) in str(caught.value)


def test_offline_says_where_to_put_the_file(cache, tmp_path, monkeypatch):
    absent = (tmp_path / "resnet18-f37072fd.pth").as_uri()
    monkeypatch.setattr(pretrained, "IMAGENET_URLS", {"resnet18": absent})
    with pytest.raises(RuntimeError, match=r"cannot download.*backbone_pretrained=False") as caught:
        pretrained.load_imagenet(resnet18(), "resnet18")
    assert absent in str(caught.value)
    assert str(cache.with_name("resnet18-f37072fd.pth")) in str(caught.value)


def test_a_download_of_the_wrong_content_is_not_kept(cache, tmp_path, monkeypatch):
    wrong = tmp_path / "resnet18-00000000.pth"
    wrong.write_bytes(b"<html>not found</html>")
    monkeypatch.setattr(pretrained, "IMAGENET_URLS", {"resnet18": wrong.as_uri()})
    with pytest.raises(RuntimeError, match=r"cannot download.*hash"):
        pretrained.load_imagenet(resnet18(), "resnet18")
    assert list(cache.parent.iterdir()) == []


def test_the_published_urls_carry_their_checksums():
    for name, url in pretrained.IMAGENET_URLS.items():
        assert url.startswith("https://download.pytorch.org/models/")
        prefix = pretrained.imagenet_file(name).stem.split("-")[1]
        assert len(prefix) == 8 and int(prefix, 16) > 0
