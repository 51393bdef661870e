"""Makes tests/golden/rope/rope.json: rope frequencies, cosines and sines from transformers.

usage: make_rope_golden.py OUT.json      needs: torch, transformers (5.x)

Per case: the rope parameters under transformers' names, the head's size, the inverse frequencies, the
attention factor, and the cosines and sines at a few positions, the largest far out.
"""
import json
import sys

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

POSITIONS = [0, 1, 17, 1000, 8191]
CASES = {
    "default": (64, dict(rope_type="default", rope_theta=100000.0)),
    "linear": (32, dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
    "llama3": (64, dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                        high_freq_factor=4.0, original_max_position_embeddings=8192)),
    "llama3_32": (128, dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0,
                            high_freq_factor=4.0, original_max_position_embeddings=8192)),
    "yarn": (128, dict(rope_type="yarn", rope_theta=1000000.0, factor=4.0,
                       original_max_position_embeddings=32768)),
    "yarn_betas": (64, dict(rope_type="yarn", rope_theta=10000.0, factor=16.0, beta_fast=24.0, beta_slow=2.0,
                            attention_factor=1.5, original_max_position_embeddings=4096)),
    "yarn_narrow": (8, dict(rope_type="yarn", rope_theta=10000.0, factor=2.0, beta_fast=1.0, beta_slow=1.0,
                            original_max_position_embeddings=64)),
}


def main(out):
    cases = []
    for name, (head_dim, parameters) in CASES.items():
        config = LlamaConfig(hidden_size=4 * head_dim, num_attention_heads=4, head_dim=head_dim,
                             max_position_embeddings=131072, rope_parameters=dict(parameters))
        rope = LlamaRotaryEmbedding(config)
        cos, sin = rope(torch.zeros(1, dtype=torch.float32), torch.tensor([POSITIONS]))
        half = head_dim // 2  # the second half repeats the first
        cases.append(dict(name=name, head_dim=head_dim, parameters=parameters, inv_freq=rope.inv_freq.tolist(),
                          attention_factor=float(rope.attention_scaling), positions=POSITIONS,
                          cos=cos[0, :, :half].tolist(), sin=sin[0, :, :half].tolist()))
    with open(out, "w") as file:
        json.dump(cases, file)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
