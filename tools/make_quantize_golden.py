#!/usr/bin/env python3
"""Writes tests/golden/quantize/TYPE.bin: float32 rows and the blocks that ggml's reference rounds them to.

    python3 -m venv VENV && VENV/bin/pip install gguf==0.19.0 numpy
    VENV/bin/python tools/make_quantize_golden.py tests/golden/quantize

The blocks come from the `quantize` of PyPI's gguf, which states that its Q8_0 and Q4_0 have the bits
of ggml's C reference.
"""

import struct
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import quantize

COLS = 256


def rows():
    rng = np.random.default_rng(7)
    sample = [rng.normal(0, sigma, (4, COLS)) for sigma in (1e-3, 0.05, 1.0, 300.0)]
    # bfloat16 and float16 weights, as models have them.
    coarse = rng.normal(0, 0.05, (4, COLS)).astype(np.float32)
    bfloat16 = (coarse.view(np.uint32) & 0xFFFF0000).view(np.float32)
    sample += [bfloat16, coarse.astype(np.float16)]
    # Halves between two quants of either type, which tell ways of rounding apart.
    halves = np.tile(np.arange(-127, 129) / 2, (2, 1))
    halves[0, ::32], halves[1, ::32] = 127, 64
    sample.append(halves)
    edges = np.zeros((5, COLS))
    edges[1, :] = 0.75  # all extreme
    edges[2, ::2], edges[2, 1::2] = 3.0, -3.0  # the first of two extremes counts
    edges[3, 5] = -1.0  # alone in its block
    edges[4, :] = rng.normal(0, 1e-9, COLS)  # scales that 16 bits round to 0
    sample.append(edges)
    return np.concatenate(sample).astype("<f4")


def main():
    folder = Path(sys.argv[1])
    x = rows()
    for dtype in (Type.Q8_0, Type.Q4_0):
        stored = quantize(x, dtype)
        header = struct.pack("<2i", *x.shape)
        (folder / f"{dtype.name}.bin").write_bytes(header + x.tobytes() + stored.tobytes())


if __name__ == "__main__":
    main()
