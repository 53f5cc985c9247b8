from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

ALLOCATE = """
import ctypes, sys, threading
from netsim.host.process import share_one_heap

if "one" in sys.argv:
    share_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.fdopen.argtypes = [ctypes.c_size_t], [ctypes.c_int, ctypes.c_char_p]
thread = threading.Thread(target=libc.malloc, args=(10_000,))
thread.start()
thread.join()
stdout = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stdout)
libc.fclose(stdout)
"""


def heaps(*arguments: str) -> int:
    done = subprocess.run([sys.executable, "-c", ALLOCATE, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.count("<heap ")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this C library is not glibc")
def test_threads_share_one_heap_when_told_to() -> None:
    assert (heaps("one"), heaps()) == (1, 2)
