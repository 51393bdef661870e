#!/usr/bin/env python3
"""Renders the about 70 real chat templates in the sdist of PyPI's llama-cpp-python with several conversations
each, by ours and by jinja2, and compares bytes. Exit code 0 only where all agree.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install jinja2
    /tmp/venv/bin/python tools/compare_chat_templates.py --binary BUILD/render_chat_template

The templates are fetched with pip into the cache folder and never become part of this project. Where jinja2
fails, ours must fail too.
"""

import argparse
import difflib
import json
import os
import pathlib
import subprocess
import sys
import tarfile

from chat_template_conversations import conversations
from chat_template_reference import NOW, compile_template, make_environment, render

PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
FOLDER = "vendor/llama.cpp/models/templates/"


def default_cache():
    base = os.environ.get("TANDEM_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tandem"
    )
    return pathlib.Path(base)


def fetch_sdist(cache):
    """Downloads the sdist once; returns its path."""
    path = cache / f"{PACKAGE.replace('-', '_')}-{VERSION}.tar.gz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        print(f"fetching {PACKAGE} {VERSION} (77 MB)", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, "--dest", str(cache), f"{PACKAGE}=={VERSION}"], check=True)
    return path


def load_templates(path):
    """{name: source} of every *.jinja in the sdist."""
    templates = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if FOLDER in member.name and member.name.endswith(".jinja"):
                name = member.name.rsplit("/", 1)[1].removesuffix(".jinja")
                templates[name] = archive.extractfile(member).read().decode()
    return dict(sorted(templates.items()))


class Ours:
    """The C++ renderer: one request and one answer a line."""

    def __init__(self, binary):
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def render(self, source, variables):
        request = {"template": source, "variables": variables, "now": NOW}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the renderer ended with {self.process.wait()}")
        answer = json.loads(line)
        return answer.get("text"), answer.get("error")


def describe(expected, actual):
    lines = difflib.unified_diff(
        expected.splitlines(keepends=True), actual.splitlines(keepends=True), "jinja2", "ours", n=1
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def compare(environment, ours, name, source, verbose):
    """Returns (texts that agree, errors that agree, differences as text)."""
    template, compile_error = compile_template(environment, source)
    num_texts = num_errors = 0
    differences = []
    for title, variables in conversations():
        expected, expected_error = render(template, variables) if template else (None, compile_error)
        actual, actual_error = ours.render(source, variables)
        if expected is None and actual is None:
            num_errors += 1
            if verbose:
                print(f"  {name} / {title}\n    jinja2: {expected_error}\n    ours:   {actual_error}")
        elif expected == actual:
            num_texts += 1
        elif expected is None:
            differences.append(f"{name} / {title}: jinja2 fails ({expected_error}), ours renders\n")
        elif actual is None:
            differences.append(f"{name} / {title}: ours fails ({actual_error}), jinja2 renders\n")
        else:
            differences.append(f"{name} / {title}:\n{describe(expected, actual)}")
    return num_texts, num_errors, differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the executable render_chat_template")
    parser.add_argument("--cache", type=pathlib.Path, default=default_cache(), help="where the sdist is kept")
    parser.add_argument("--only", default="", help="only templates whose name contains this")
    parser.add_argument("--verbose", action="store_true", help="show the errors that agree")
    arguments = parser.parse_args()

    environment, ours = make_environment(), Ours(arguments.binary)
    templates = load_templates(fetch_sdist(arguments.cache))
    all_differences, totals = [], [0, 0]
    print(f"{'template':58} {'texts':>6} {'errors':>7} {'differ':>7}")
    for name, source in templates.items():
        if arguments.only not in name:
            continue
        num_texts, num_errors, differences = compare(environment, ours, name, source, arguments.verbose)
        print(f"{name:58} {num_texts:6} {num_errors:7} {len(differences):7}")
        totals[0] += num_texts
        totals[1] += num_errors
        all_differences += differences
    print(f"{f'all {len(templates)}':58} {totals[0]:6} {totals[1]:7} {len(all_differences):7}")
    print("\n".join(all_differences), end="")
    return 1 if all_differences or not totals[0] else 0


if __name__ == "__main__":
    sys.exit(main())
