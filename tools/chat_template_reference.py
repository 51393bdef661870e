"""jinja2 set up as transformers 5 sets it up for chat templates: the reference that ours must equal.

Written from the behaviour of transformers.utils.chat_template_utils (5.23): an immutable sandbox with
trim_blocks and lstrip_blocks, break and continue, {% generation %}, a `tojson` that does not escape HTML,
`raise_exception`, `strftime_now`, and a `namespace` that refuses private names.
"""

import datetime
import json

import jinja2
import jinja2.ext
import jinja2.sandbox

# The time that strftime_now() shows, in UTC.
NOW = 1_753_000_000


class Generation(jinja2.ext.Extension):
    """{% generation %}: renders its body, in a scope of its own."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("render"), [], [], body).set_lineno(line)

    def render(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            Namespace.check_name(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        Namespace.check_name(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check_name(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"private name {name!r}")


def make_environment():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    def strftime_now(format):
        return datetime.datetime.utcfromtimestamp(NOW).strftime(format)

    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    environment.globals["namespace"] = Namespace
    return environment


def compile_template(environment, source):
    """Returns (template, None), or (None, message) for what jinja2 refuses."""
    try:
        return environment.from_string(source), None
    except Exception as error:  # noqa: BLE001: jinja2 lets errors of Python's compiler through
        return None, describe(error)


def render(template, variables):
    """Returns (text, None), or (None, message) where jinja2 fails in whatever way."""
    try:
        text = template.render(**variables)
        text.encode()
        return text, None
    except Exception as error:  # noqa: BLE001: any failure of a template is one
        return None, describe(error)


def describe(error):
    return f"{type(error).__name__}: {error}"
