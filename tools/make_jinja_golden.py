#!/usr/bin/env python3
"""Writes tests/golden/chat_template/jinja_cases.json: small templates with what jinja2 renders of them, or that it
fails.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install jinja2==3.1.6
    /tmp/venv/bin/python tools/make_jinja_golden.py tests/golden/chat_template/jinja_cases.json

jinja2 runs as tools/chat_template_reference.py sets it up. A case is a template over VARIABLES.
"""

import json
import sys

from chat_template_reference import NOW, compile_template, make_environment, render
from jinja_cases import CASES, VARIABLES


def main():
    environment = make_environment()
    cases = []
    for topic, templates in CASES.items():
        for source in templates:
            template, error = compile_template(environment, source)
            text, error = render(template, VARIABLES) if template else (None, error)
            if error and "object at 0x" in error:
                error = error.split(" at 0x")[0]
            case = {"topic": topic, "template": source}
            case.update({"text": text} if text is not None else {"error": error})
            if text is not None and " at 0x" in text:
                raise SystemExit(f"the result of {source!r} is an address: {text!r}")
            cases.append(case)
    golden = {"now": NOW, "variables": VARIABLES, "cases": cases}
    with open(sys.argv[1], "w") as file:
        file.write("{\n")
        file.write(f'"now": {golden["now"]},\n"variables": {json.dumps(VARIABLES, ensure_ascii=False)},\n"cases": [\n')
        file.write(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases))
        file.write("\n]}\n")
    num_errors = sum("error" in case for case in cases)
    print(f"{len(cases)} cases, {num_errors} of them errors")


if __name__ == "__main__":
    main()
