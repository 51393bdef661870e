#!/usr/bin/env python3
"""Writes tests/golden/quantised/TYPE.bin: quantised rows with the exact float32 values they stand for.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install gguf==0.19.0 numpy
    /tmp/venv/bin/python tools/make_quantised_golden.py tests/golden/quantised

The values come from the `dequantize` of PyPI's gguf, an implementation independent of ours. The
first half of the rows is a normal sample quantised by gguf, where gguf can quantise to the type;
all other rows are random bytes, which reach every bit pattern, with their 16-bit floats replaced by
scales of a size that models have.
"""

import struct
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

ROWS, COLS = 4, 512  # two blocks of the K types, sixteen of the others, in a row

# Byte offsets of the 16-bit floats in a block.
SCALE_OFFSETS = {
    Type.Q4_0: [0],
    Type.Q4_1: [0, 2],
    Type.Q5_0: [0],
    Type.Q5_1: [0, 2],
    Type.Q8_0: [0],
    Type.Q4_K: [0, 2],
    Type.Q5_K: [0, 2],
    Type.Q6_K: [208],
}
CAN_QUANTISE = {Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0}


def random_rows(rng, dtype, rows):
    block_size, block_bytes = GGML_QUANT_SIZES[dtype]
    blocks = rng.integers(0, 256, (rows * COLS // block_size, block_bytes), dtype=np.uint8)
    for offset in SCALE_OFFSETS[dtype]:
        scales = rng.normal(0, 0.01, len(blocks)).astype(np.float16)
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, -1)


def main():
    folder = Path(sys.argv[1])
    for index, dtype in enumerate(SCALE_OFFSETS):
        rng = np.random.default_rng(index)
        parts = []
        if dtype in CAN_QUANTISE:
            sample = rng.normal(0, 0.05, (ROWS // 2, COLS)).astype(np.float32)
            parts.append(quantize(sample, dtype).reshape(ROWS // 2, -1))
        parts.append(random_rows(rng, dtype, ROWS - ROWS // 2 * len(parts)))
        stored = np.concatenate(parts)
        values = dequantize(stored, dtype).astype("<f4")
        assert values.shape == (ROWS, COLS) and np.isfinite(values).all()
        header = struct.pack("<2i", ROWS, COLS)
        (folder / f"{dtype.name}.bin").write_bytes(header + stored.tobytes() + values.tobytes())


if __name__ == "__main__":
    main()
