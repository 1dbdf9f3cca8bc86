"""The allocator's setting: said honestly, and without effect on results."""

from __future__ import annotations

import platform
import subprocess
import sys

SCRIPT = """
import resource, torch
from ltr.trainers.processes import keep_freed_memory
done = keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(8_000_000) * 2
before = faults()
for _ in range(10):
    torch.ones(8_000_000) * 2
print(done, faults() - before)
"""


def test_large_blocks_are_served_again_without_page_faults():
    done, faults = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    ).stdout.split()
    assert done == str(platform.libc_ver(sys.executable)[0] == "glibc")
    # Ten times two tensors of 32 MB are 160,000 pages of 4 KiB.
    assert done == "False" or int(faults) < 20_000
