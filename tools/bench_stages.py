#!/usr/bin/env python3
"""Where the time to the first two tokens goes on a running server: the median of every stage, one request at a time.

usage: tools/bench_stages.py [--url URL] [--tokens N] [--requests R]
Prompts are N random tokens, so that no prefix cache knows them; the first two requests warm up and are not counted.
"""

import argparse
import json
import random
import statistics
import urllib.request

NUM_WARM_UP = 2
# Of the default model's vocabulary, past its special tokens.
FIRST_TOKEN, LAST_TOKEN = 1000, 40000


def ask(url: str, prompt: list[int]) -> dict:
    """The `tandem` object of one answer."""
    body = {"prompt": prompt, "max_tokens": 3, "temperature": 0, "ignore_eos": True}
    request = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json", "x-tandem-timing": "true"})
    with urllib.request.urlopen(request, timeout=600) as response:
        return json.load(response)["tandem"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=9)
    arguments = parser.parse_args()
    choose = random.Random()
    answers = [ask(arguments.url, choose.choices(range(FIRST_TOKEN, LAST_TOKEN), k=arguments.tokens))
               for _ in range(NUM_WARM_UP + arguments.requests)][NUM_WARM_UP:]
    print(f"{arguments.tokens} tokens, {len(answers)} requests, {answers[0]['path']}, "
          f"{answers[0]['kv_bytes'] / 1e6:.1f} MB of KV each; medians in ms")
    ttft = statistics.median(answer["ttft_ms"] for answer in answers)
    print(f"{'time to first token':24} {ttft:10.3f}")
    for which in ("first", "second"):
        for stage in answers[0]["timing"][f"{which}_token_ms"]:
            time = statistics.median(answer["timing"][f"{which}_token_ms"][stage] for answer in answers)
            print(f"  {which + ': ' + stage:22} {time:10.3f}  {100 * time / ttft:6.2f}% of it")


if __name__ == "__main__":
    main()
