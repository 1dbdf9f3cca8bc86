"""Code of the documentation, so that tests can run it as it stands there."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).resolve().parents[2] / "docs"


def code_blocks(name: str, language: str = "python") -> list[str]:
    """The fenced blocks of one language in `docs/<name>`, in order."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def load_code(code: str, path: Path) -> ModuleType:
    """Write code to a file and import it."""
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"documented_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up here.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
