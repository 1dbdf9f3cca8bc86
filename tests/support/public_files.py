"""Checkpoints exactly as the public framework writes them, honest and forged, in both of torch's formats."""

from __future__ import annotations

import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLASSES = {
    "ltr.admin.model_constructor": ("NetConstructor",),
    "ltr.admin.settings": ("Settings",),
    "ltr.admin.stats": ("AverageMeter", "StatValue"),
    "ltr.admin.local": ("EnvironmentSettings",),
    "ltr.admin.environment": ("EnvironmentSettings",),
    # OSTrack keeps the same classes elsewhere; the packages above them must be there too.
    "lib": (),
    "lib.train": (),
    "lib.train.admin": (),
    "lib.train.admin.settings": ("Settings",),
    "lib.train.admin.stats": ("AverageMeter", "StatValue"),
    "lib.train.admin.local": ("EnvironmentSettings",),
}
FORMATS = ("zip", "legacy")


@contextmanager
def public_framework() -> Iterator[dict[str, types.ModuleType]]:
    """Modules with the public framework's names and empty classes stand in for ours inside the block."""
    fakes: dict[str, types.ModuleType] = {}
    for name, classes in CLASSES.items():
        fakes[name] = types.ModuleType(name)
        for word in classes:
            setattr(fakes[name], word, type(word, (), {"__module__": name}))
    hidden = {name: sys.modules.get(name) for name in fakes}
    sys.modules.update(fakes)
    try:
        yield fakes
    finally:
        for name, module in hidden.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def public_content(
    fakes: dict[str, types.ModuleType], net: Any, name: str, module: str, *args: Any, **kwds: Any
) -> dict[str, Any]:
    """What the public framework saves, with objects of the stand-in classes."""

    def instance(where: str, word: str, **fields: Any) -> Any:
        made = getattr(fakes[where], word)()
        made.__dict__.update(fields)
        return made

    env = instance("ltr.admin.local", "EnvironmentSettings", workspace_dir="/home/someone/work", lasot_dir="")
    meter = instance(
        "ltr.admin.stats", "AverageMeter", val=0.5, avg=np.float64(0.25), sum=1.0, count=4, has_new_data=True
    )
    rate = instance("ltr.admin.stats", "StatValue", val=2e-4, history=[2e-4, np.float32(1e-4)])
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight], lr=1e-3)
    weight.sum().backward()
    optimizer.step()
    return {
        "epoch": 50,
        "actor_type": "DiMPActor",
        "net_type": "DiMPnet",
        "net": net,
        "net_info": None,
        "constructor": instance(
            "ltr.admin.model_constructor",
            "NetConstructor",
            fun_name=name,
            fun_module=module,
            args=args,
            kwds=kwds,
        ),
        "optimizer": optimizer.state_dict(),
        "stats": OrderedDict(train=OrderedDict({"Loss/total": meter, "LearningRate/group0": rate}), val=None),
        "settings": instance(
            "ltr.admin.settings",
            "Settings",
            env=env,
            module_name="dimp",
            batch_size=20,
            multi_gpu=False,
            search_area_factor=5.0,
            normalize_mean=[0.485, 0.456, 0.406],
            center_jitter_factor={"train": 0, "test": 4.5},
            hinge_threshold=0.05,
        ),
    }


def write_public(path: Path, kind: str, net: Any, name: str, module: str, *args: Any, **kwds: Any) -> Path:
    """Save such a checkpoint in torch's 'zip' or 'legacy' format."""
    with public_framework() as fakes:
        content = public_content(fakes, net, name, module, *args, **kwds)
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    return path


def wrap_pickle(path: Path, kind: str, pickled: bytes) -> Path:
    """A file of either format whose object is the pickle given, with no storages."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("archive/data.pkl", pickled)
            archive.writestr("archive/version", b"3\n")
        return path
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, system)]
    path.write_bytes(b"".join(head) + pickled + pickle.dumps([], 2))
    return path
