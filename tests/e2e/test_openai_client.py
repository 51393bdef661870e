"""The `openai` package as a client: what it sends is understood, what it gets is what it expects."""

import concurrent.futures
import math

import openai
import pytest

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def test_chat_answers_a_question(client, model):
    answer = client.chat.completions.create(model=model, messages=QUESTION, temperature=0)
    assert "Paris" in answer.choices[0].message.content
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == model
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0


def test_streamed_chat_has_the_text_of_the_plain_one(client, model):
    plain = client.chat.completions.create(model=model, messages=QUESTION, temperature=0)
    chunks = list(client.chat.completions.create(model=model, messages=QUESTION, temperature=0, stream=True,
                                                 stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == plain.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens


def test_content_may_be_a_list_of_parts(client, model):
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is the capital "},
                                          {"type": "text", "text": "of France?"}]}]
    answer = client.chat.completions.create(model=model, messages=parts, temperature=0)
    assert "Paris" in answer.choices[0].message.content


def test_completion_continues_a_text(client, model):
    answer = client.completions.create(model=model, prompt="The capital of France is", max_tokens=4, temperature=0)
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.choices[0].text.startswith(" Paris")
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 4


def test_completion_stops_at_16_tokens_by_default(client, model):
    answer = client.completions.create(model=model, prompt="Once upon a time", temperature=0,
                                       extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 16


def test_several_prompts_and_samples_are_told_apart_by_index(client, model):
    answer = client.completions.create(model=model, prompt=["One, two,", "Red, green,"], n=2, max_tokens=3,
                                       temperature=0)
    texts = {choice.index: choice.text for choice in answer.choices}
    assert sorted(texts) == [0, 1, 2, 3]
    assert texts[0] == texts[1] and texts[2] == texts[3] and texts[0] != texts[2]


def test_prompt_may_be_token_ids(client, server, model):
    prompt = "The capital of France is"
    ids = server.post("/tokenize", {"model": model, "prompt": prompt})["tokens"]
    by_text, by_ids = (client.completions.create(model=model, prompt=p, max_tokens=8, temperature=0)
                       for p in (prompt, ids))
    assert by_text.choices[0].text == by_ids.choices[0].text
    assert by_text.usage.prompt_tokens == by_ids.usage.prompt_tokens == len(ids)


def test_echo_puts_the_prompt_in_front(client, model):
    answer = client.completions.create(model=model, prompt="One, two,", echo=True, max_tokens=2, temperature=0)
    assert answer.choices[0].text.startswith("One, two,")


def test_samples_with_different_randomness_differ(client, model):
    answer = client.chat.completions.create(model=model, messages=QUESTION, n=2, temperature=1.5, seed=1,
                                            max_completion_tokens=24)
    texts = [choice.message.content for choice in answer.choices]
    assert len(texts) == 2 and texts[0] != texts[1]


def test_streamed_samples_each_finish(client, model):
    ends = [choice.index for chunk in client.chat.completions.create(
        model=model, messages=QUESTION, n=2, temperature=1, seed=1, max_completion_tokens=8, stream=True)
            for choice in chunk.choices if choice.finish_reason]
    assert sorted(ends) == [0, 1]


def test_a_seed_repeats_its_answer(client, model):
    def sample(seed: int) -> str:
        return client.completions.create(model=model, prompt="A poem:", seed=seed, temperature=1.2,
                                         max_tokens=20).choices[0].text

    first, again, other = sample(7), sample(7), sample(8)
    assert first == again
    assert first != other


def test_a_seed_repeats_its_answer_beside_other_requests(client, model):
    def sample(seed: int) -> str:
        return client.completions.create(model=model, prompt="A poem:", seed=seed, temperature=1.2,
                                         max_tokens=20).choices[0].text

    alone = [sample(seed) for seed in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sample, range(4))) == alone


def test_stop_string_ends_the_answer_and_is_not_part_of_it(client, model):
    prompt = "Count: 1, 2, 3, 4,"
    free = client.completions.create(model=model, prompt=prompt, max_tokens=24, temperature=0).choices[0].text
    stop = free[8:11]
    answer = client.completions.create(model=model, prompt=prompt, max_tokens=24, temperature=0, stop=[stop])
    assert answer.choices[0].text == free[:free.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].stop_reason == stop


def test_streamed_text_never_shows_part_of_a_stop_string(client, model):
    prompt = "Count: 1, 2, 3, 4,"
    free = client.completions.create(model=model, prompt=prompt, max_tokens=24, temperature=0).choices[0].text
    stop = free[8:14]
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(
        model=model, prompt=prompt, max_tokens=24, temperature=0, stop=[stop], stream=True) if chunk.choices)
    assert text == free[:free.index(stop)]


def test_chat_logprobs_describe_every_token(client, model):
    answer = client.chat.completions.create(model=model, messages=QUESTION, temperature=0, logprobs=True,
                                            top_logprobs=3, max_completion_tokens=6)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens
    for token in tokens:
        assert token.logprob <= 0
        assert bytes(token.bytes).decode(errors="replace") == token.token
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token, "greedy takes the likeliest"
        assert math.isclose(token.top_logprobs[0].logprob, token.logprob, abs_tol=1e-5)
        assert sum(math.exp(top.logprob) for top in token.top_logprobs) <= 1 + 1e-4


def test_completion_logprobs_have_offsets_into_the_text(client, model):
    choice = client.completions.create(model=model, prompt="The capital of France is", max_tokens=5, temperature=0,
                                       logprobs=2).choices[0]
    assert "".join(choice.logprobs.tokens) == choice.text
    assert len(choice.logprobs.token_logprobs) == len(choice.logprobs.text_offset) == 5
    for token, offset in zip(choice.logprobs.tokens, choice.logprobs.text_offset):
        assert choice.text[offset - choice.logprobs.text_offset[0]:].startswith(token)
    assert all(len(top) == 2 for top in choice.logprobs.top_logprobs)


def test_prompt_logprobs_cover_the_prompt(server, model):
    answer = server.post("/v1/completions", {"model": model, "prompt": "The capital of France is", "max_tokens": 1,
                                             "prompt_logprobs": 1})
    logprobs = answer["choices"][0]["prompt_logprobs"]
    assert len(logprobs) == answer["usage"]["prompt_tokens"]
    assert logprobs[0] is None, "nothing comes before the first token"
    assert all(entry for entry in logprobs[1:])


def test_logit_bias_can_forbid_and_force(client, server, model):
    paris, = server.post("/tokenize", {"model": model, "prompt": " Paris", "add_special_tokens": False})["tokens"]
    london, = server.post("/tokenize", {"model": model, "prompt": " London", "add_special_tokens": False})["tokens"]
    ask = dict(model=model, prompt="The capital of France is", max_tokens=1, temperature=0)
    assert client.completions.create(**ask, logit_bias={str(paris): -100}).choices[0].text != " Paris"
    assert client.completions.create(**ask, logit_bias={str(london): 100}).choices[0].text == " London"


def test_min_tokens_holds_back_the_end(client, model):
    answer = client.chat.completions.create(model=model, messages=QUESTION, temperature=0, max_completion_tokens=30,
                                            extra_body={"min_tokens": 20})
    assert answer.usage.completion_tokens >= 20


def test_models_lists_the_served_one(client, model):
    listed = client.models.list().data
    assert [entry.id for entry in listed] == [model]
    assert listed[0].object == "model"
    assert listed[0].root
    assert listed[0].max_model_len == 8192
    assert client.models.retrieve(model).id == model


def test_unknown_model_is_a_not_found_error(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=QUESTION)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "no-such-model" in caught.value.message


def test_too_long_a_prompt_is_a_bad_request(client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "word " * 9000}])
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "messages"
    assert "maximum context length is 8192 tokens" in caught.value.message


def test_tokenize_and_detokenize_are_inverse(server, model):
    text = "Grüße, 世界! 12345 🙂"
    encoded = server.post("/tokenize", {"model": model, "prompt": text})
    assert encoded["count"] == len(encoded["tokens"])
    assert encoded["max_model_len"] == 8192
    decoded = server.post("/detokenize", {"model": model, "tokens": encoded["tokens"]})
    assert decoded["prompt"] == decoded["content"] == text


def test_tokenize_renders_a_chat(client, server, model):
    tokens = server.post("/tokenize", {"model": model, "messages": QUESTION})["tokens"]
    answer = client.chat.completions.create(model=model, messages=QUESTION, max_completion_tokens=1)
    assert answer.usage.prompt_tokens == len(tokens)
