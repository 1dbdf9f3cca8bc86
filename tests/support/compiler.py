"""A mark for tests of code that a C++ compiler, which pip does not bring, has to compile first."""

from __future__ import annotations

import shutil

import pytest

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="no C++ compiler (install g++ or clang++): the readable score alone is tested",
)
