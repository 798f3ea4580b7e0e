"""Memory that the C library keeps."""

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource
from lushan.common.memory import keep_freed

library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        block = library.malloc(2**26)
        ctypes.memset(block, 1, 2**26)
        library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
keep_freed()
faults()
print(before, faults())
"""


@pytest.mark.slow(1)
@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="mallopt is an option of glibc"
)
def test_large_blocks_are_used_again():
    printed = subprocess.check_output([sys.executable, "-c", FAULTS], text=True)
    before, after = map(int, printed.split())
    assert after < before / 8
