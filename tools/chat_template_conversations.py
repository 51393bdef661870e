"""Conversations that reach the branches of real chat templates: roles, tools, reasoning, content parts."""

import itertools

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city.\nUse it for \"now\" only; don't <guess>.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Name, such as Zürich"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                    "days": {"type": ["integer", "null"], "minimum": 1, "maximum": 18446744073709551615},
                    "places": {"type": "array", "items": {"type": "string"}, "description": "Others"},
                    "options": {
                        "type": "object",
                        "properties": {"hourly": {"type": "boolean"}, "limit": {"type": "number"}},
                        "required": ["hourly"],
                    },
                    "either": {"anyOf": [{"type": "string"}, {"type": "number"}]},
                },
                "required": ["city"],
            },
            "return": {"type": "string", "description": "The weather"},
        },
    },
    {
        "type": "function",
        "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}},
    },
]
# Without the unions and nested objects that some templates cannot take.
SIMPLE_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds two numbers.",
            "parameters": {
                "type": "object",
                "properties": {
                    "a": {"type": "number", "description": "First"},
                    "b": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["a"],
            },
            "return": {"type": "number"},
        },
    }
]
# As Command R+ has them.
COHERE_TOOLS = [
    {
        "name": "search",
        "description": "Searches the web.",
        "parameter_definitions": {
            "query": {"type": "str", "description": "What to look for", "required": True},
            "limits": {"type": "list[int]", "description": "How many", "required": False},
        },
    }
]
DOCUMENTS = [
    {"title": "Alps", "text": "The Alps are high.", "doc_id": 1},
    {"title": "Rhine", "text": "The Rhine is long.", "doc_id": 2},
]


def system(content="You are terse."):
    return {"role": "system", "content": content}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def call(name, arguments, call_id="abc123def"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content, name="get_weather", call_id="abc123def"):
    return {"role": "tool", "name": name, "tool_call_id": call_id, "content": content}


WEATHER = {"city": "Zürich", "days": 2, "ratio": 0.5, "hot": True, "note": None, "tags": ["a", 'b"'], "deep": {"k": "v"}}


def message_lists():
    """(title, messages) without the options."""
    question, answer = user("How is the weather in Zürich? 🙂"), assistant("Sunny, 21°C.")
    yield "user", [user("Hello!")]
    yield "system", [system(), user("Hello <b>you</b> & me!")]
    yield "developer", [{"role": "developer", "content": "Be kind."}, user("Hello!")]
    yield "turns", [system(), user("One"), assistant("1"), user("Two"), assistant("2"), user("Three")]
    yield "spaces", [system("  padded \n"), user("\n Hi  "), assistant("  There\n\n"), user("Bye ")]
    yield "ends with assistant", [user("Say hi"), assistant("Hi")]
    yield "no messages", []
    yield "two users", [user("One"), user("Two")]
    yield "two systems", [system(), system("And kind."), user("One")]
    yield "unknown role", [{"role": "narrator", "content": "Once"}, user("One")]
    yield "empty content", [system(""), user(""), assistant(""), user("x")]
    yield "none content", [user("x"), assistant(None), user("y")]
    yield "parts", [system([{"type": "text", "text": "Part."}]), user([{"type": "text", "text": "A"}, {"type": "text", "text": "B"}])]
    yield "image", [user([{"type": "image"}, {"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "u"}}])]
    yield "media", [user([{"type": "video"}, {"type": "audio"}, {"type": "text", "text": "?"}]), answer]
    reasoned = assistant("4", reasoning_content="2+2 is 4")
    yield "reasoning", [user("2+2?"), reasoned, user("3+3?")]
    yield "reasoning last", [system(), user("2+2?"), reasoned]
    yield "thinking fields", [user("2+2?"), assistant("4", thinking="easy", reasoning="easier"), user("And?")]
    yield "think tags", [user("2+2?"), assistant("<think>\nhm\n</think>\n\n4"), user("3+3?"), assistant("<think>so</think>6")]
    yield "thinking parts", [user("2?"), assistant([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "2"}]), user("3?")]
    for kind, arguments in (("dict", WEATHER), ("text", '{"city": "Zürich", "days": 2}')):
        called = assistant("", tool_calls=[call("get_weather", arguments)])
        talking = assistant("Let me see.", tool_calls=[call("get_weather", arguments), call("now", {} if kind == "dict" else "{}", "zyx987wvu")])
        yield f"call ({kind})", [question, called]
        yield f"call and result ({kind})", [system(), question, called, result('{"temp": 21}')]
        yield f"whole exchange ({kind})", [system(), question, called, result("21"), answer, user("Thanks")]
        yield f"two calls ({kind})", [question, talking, result("21"), result("12:00", "now", "zyx987wvu"), answer, user("And now?")]
        thought = {**called, "reasoning_content": "I must look."}
        yield f"reasoned call ({kind})", [question, thought, result("21"), assistant("21", reasoning_content="done"), user("ok")]
    called = {"role": "assistant", "tool_calls": [call("get_weather", WEATHER)]}
    yield "call without content", [question, called, result([{"type": "text", "text": "21"}])]
    yield "call of none", [question, {**called, "content": None}, result({"temp": 21, "unit": "C"}), result("again")]
    yield "bare call", [question, {"role": "assistant", "content": "", "tool_calls": [{"name": "get_weather", "arguments": WEATHER}]}]
    yield "old function", [question, {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}}, {"role": "function", "name": "now", "content": "12"}]
    yield "result first", [result("21"), user("?")]
    yield "ipython", [question, called, {"role": "ipython", "content": "21"}]


TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def options():
    """(title, variables) beside the messages."""
    yield "plain", {"add_generation_prompt": False}
    yield "prompt", {"add_generation_prompt": True}
    yield "tools", {"add_generation_prompt": True, "tools": TOOLS}
    yield "bare tools", {"add_generation_prompt": True, "tools": [tool["function"] for tool in TOOLS]}
    yield "thinking on", {"add_generation_prompt": True, "enable_thinking": True, "thinking": True, "reasoning_effort": "high"}
    yield "thinking off", {"add_generation_prompt": True, "tools": TOOLS, "enable_thinking": False, "thinking": False, "reasoning_effort": "low"}
    yield "documents", {"add_generation_prompt": True, "documents": DOCUMENTS, "controls": ["thinking"], "date_string": "26 Jul 2024"}
    yield "simple tools", {"add_generation_prompt": True, "tools": SIMPLE_TOOLS, "functions": "[{}]", "datetime": "today"}
    yield "cohere tools", {"add_generation_prompt": True, "tools": COHERE_TOOLS}
    yield "keep", {
        "add_generation_prompt": True,
        "tools": TOOLS,
        "clear_thinking": False,
        "preserve_thinking": True,
        "keep_past_thinking": True,
        "builtin_tools": ["wolfram_alpha", "browser", "python", "code_interpreter"],
        "custom_tools": TOOLS,
        "tools_in_user_message": False,
        "model_identity": "You are Tandem.",
        "safety_mode": "strict",
        "xml_tools": ["x"],
        "add_vision_id": True,
        "reasoning": True,
        "functions": [tool["function"] for tool in TOOLS],
    }


def conversations():
    """Every list of messages with every set of options: (title, variables)."""
    for (title, messages), (option, more) in itertools.product(message_lists(), options()):
        # transformers passes these two always, as None where there are none.
        variables = {"messages": messages, "tools": None, "documents": None, **TOKENS, **more}
        yield f"{title}, {option}", variables
