"""Makes prompt_logprobs.json of the default model from full logits, small enough for the repository.

usage: trim_prompt_logits.py prompt_logits.npy greedy.json OUT.json      needs: numpy

The first is [n, vocab] float32: logits after the first n prompts of the second. Per prompt OUT has log-probabilities
(log_softmax in float64) of the 64 likeliest tokens, and of every 96th token of the vocabulary, as [id, value].
"""
import json
import sys

import numpy as np

NUM_TOP, STRIDE = 64, 96


def main(logits_path, greedy_path, out):
    rows = np.load(logits_path).astype(np.float64)
    prompts = json.load(open(greedy_path))[:len(rows)]
    cases = []
    for prompt, row in zip(prompts, rows):
        logprobs = row - row.max() - np.log(np.exp(row - row.max()).sum())
        pairs = lambda ids: [[int(i), round(float(logprobs[i]), 5)] for i in ids]
        cases.append(dict(name=prompt["name"], prompt_ids=prompt["prompt_ids"],
                          top=pairs(np.argsort(-logprobs, kind="stable")[:NUM_TOP]),
                          sample=pairs(range(0, len(row), STRIDE))))
    with open(out, "w") as file:
        json.dump(cases, file)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
