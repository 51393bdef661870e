"""Makes tests/golden/tokenizer with tokenizers 0.23.3, sentencepiece 0.2.3 and gguf 0.19.0.

    python make_tokenizer_golden.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf --cases tokenizer.json --out DIR

--cases: the texts, ids and decoded texts that transformers gives for the GGUF's tokeniser.
"""

import argparse
import io
import json
import pathlib

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

from tokenizer_texts import CASES, corpus

SPACE = "\u2581"
NUM_PIECES = 420

GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = GPT4O.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace("{1,3}", "")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
DEEPSEEK_V3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
               r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def byte_level(*steps):
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


ADDED = [
    AddedToken("<tool>", special=False, normalized=False),
    AddedToken("<ls>", lstrip=True, special=False, normalized=False),
    AddedToken("<rs>", rstrip=True, special=True, normalized=False),
    AddedToken("word", single_word=True, special=False, normalized=False),
    AddedToken("Added", special=False, normalized=True),
]
SPECIALS = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def train_hugging_face(model, trainer, normalizer=None, pre_tokenizer=None, decoder=None, post=None):
    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if decoder is not None:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_tokens([t for t in ADDED if not t.special])
    tokenizer.add_special_tokens([t for t in ADDED if t.special])
    if post is not None:
        tokenizer.post_processor = post(tokenizer)
    return tokenizer


def bpe_trainer(alphabet=True, extra=()):
    alphabet = pre_tokenizers.ByteLevel.alphabet() if alphabet else []
    return trainers.BpeTrainer(vocab_size=NUM_PIECES, special_tokens=[*SPECIALS, *extra], initial_alphabet=alphabet,
                               show_progress=False)


def byte_level_bpe(pre_tokenizer, normalizer=None, post=None, **options):
    return train_hugging_face(models.BPE(**options), bpe_trainer(), normalizer, pre_tokenizer, decoders.ByteLevel(), post)


def bos_template(tokenizer):
    return processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]),
    ])


def bos_eos_template(tokenizer):
    return processors.TemplateProcessing(single="<s> $A </s>",
                                         special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("<s>", "</s>")])


def byte_tokens():
    return [f"<0x{byte:02X}>" for byte in range(256)]


def llama2(**options):
    tokenizer = train_hugging_face(
        models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True), bpe_trainer(False, byte_tokens()),
        post=bos_template, **options)
    # The trainer takes byte tokens only as special ones; in a real vocabulary "<0x41>" in a text is just text.
    tree = json.loads(tokenizer.to_str())
    tree["added_tokens"] = [t for t in tree["added_tokens"] if t["content"] not in byte_tokens()]
    return Tokenizer.from_str(json.dumps(tree))


def spm_decoder(strip):
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))


def hugging_face_tokenizers():
    """Name -> a tokenizer trained here."""
    metaspace = pre_tokenizers.Metaspace
    unigram = trainers.UnigramTrainer(vocab_size=NUM_PIECES, special_tokens=SPECIALS, unk_token="<unk>",
                                      show_progress=False)
    return {
        "gpt2": byte_level_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "gpt2_prefix_nfkc": byte_level_bpe(pre_tokenizers.ByteLevel(add_prefix_space=True),
                                           normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])),
        "llama3": byte_level_bpe(byte_level(split(LLAMA3)), post=bos_template, ignore_merges=True),
        "qwen2": byte_level_bpe(byte_level(split(QWEN2)), normalizers.NFC()),
        "digits": byte_level_bpe(pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])),
        "gpt4o": byte_level_bpe(byte_level(split(GPT4O))),
        "tekken": byte_level_bpe(byte_level(split(TEKKEN)), ignore_merges=True),
        "deepseek_v3": byte_level_bpe(byte_level(
            split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK_V3))),
        "dialect": byte_level_bpe(byte_level(
            split(r"(?:\p{Han}|\p{Hiragana})+|\p{N}{1,3}+|[\w']{2}+", "merged_with_previous"),
            split(r"[\s.]|\W$", "contiguous"), split(r"(?=(\d{3})+(?!\d))"))),
        "llama2": llama2(
            normalizer=normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]),
            decoder=spm_decoder(strip=True)),
        "gemma": llama2(normalizer=normalizers.Replace(" ", SPACE),
                        pre_tokenizer=pre_tokenizers.Split(" ", "merged_with_previous"),
                        decoder=spm_decoder(strip=False)),
        "metaspace_first": train_hugging_face(
            models.BPE(unk_token="<unk>", fuse_unk=True), bpe_trainer(False),
            pre_tokenizer=metaspace(prepend_scheme="first"), decoder=decoders.Metaspace(prepend_scheme="first"),
            post=bos_eos_template),
        "words": train_hugging_face(
            models.BPE(unk_token="<unk>"), bpe_trainer(False), normalizers.Strip(),
            pre_tokenizers.Sequence([
                pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_next"),
                pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.CharDelimiterSplit("e"),
                split(r"o", "removed"), split(r"[a-m]+", "isolated", invert=True)])),
        "unigram": train_hugging_face(
            models.Unigram(), unigram,
            normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
                                  normalizers.Replace(Regex(" {2,}"), " ")]),
            metaspace(prepend_scheme="always"), decoders.Metaspace(prepend_scheme="always"), bos_eos_template),
        "unigram_precompiled": unigram_from_sentencepiece(),
    }


def unigram_from_sentencepiece():
    """The shape of T5 and XLM-R: a character map, whitespace split, metaspace."""
    proto = train_sentencepiece(**SENTENCEPIECE["t5"])
    pieces = [(p.piece, p.score) for p in proto.pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=proto.trainer_spec.unk_id, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    return tokenizer


def hugging_face_cases(tokenizer):
    """Per text: ids with everything; ids with special tokens kept as text; the first ids decoded. The second is left
    out where the library finds special tokens all the same (its unigram models do)."""
    special = {id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special} - {
        tokenizer.token_to_id("<unk>")}
    cases = []
    for text in CASES:
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(text, add_special_tokens=True).ids
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = False
        case = {"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True),
                "decoded_all": tokenizer.decode(ids, skip_special_tokens=False)}
        cases.append(case if special & set(plain) else {**case, "plain_ids": plain})
    return cases


TSV = "".join(f"{ord(a):X}\t{' '.join(f'{ord(c):X}' for c in b)}\n" for a, b in {
    "\u00e9": "e", "\uff21": "A", "\ufb01": "fi", "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ", "\u200b": "",
    "\u2460": "(1)"}.items()) + "65 301\t65\n65 301 301\t45\n"

SENTENCEPIECE = {
    "llama2": dict(model_type="bpe", byte_fallback=True, add_dummy_prefix=True, split_digits=True,
                   allow_whitespace_only_pieces=True, remove_extra_whitespaces=False,
                   normalization_rule_name="identity"),
    "gemma": dict(model_type="bpe", byte_fallback=True, add_dummy_prefix=False, split_digits=True,
                  allow_whitespace_only_pieces=True, remove_extra_whitespaces=False, split_by_whitespace=False,
                  normalization_rule_name="identity", user_defined_symbols="<tool>,\n\n,<ls>"),
    "bpe_unknown": dict(model_type="bpe", byte_fallback=False, add_dummy_prefix=True, remove_extra_whitespaces=False,
                        normalization_rule_name="identity"),
    "t5": dict(model_type="unigram", byte_fallback=False, add_dummy_prefix=True, remove_extra_whitespaces=True,
               tsv=TSV),
    "unigram_bytes": dict(model_type="unigram", byte_fallback=True, add_dummy_prefix=True,
                          remove_extra_whitespaces=False, normalization_rule_name="identity"),
}


def train_sentencepiece(tsv=None, **options):
    if tsv is not None:
        path = pathlib.Path("rules.tsv")
        path.write_text(tsv)
        options["normalization_rule_tsv"] = str(path)
    model = io.BytesIO()
    vocab_size = NUM_PIECES + (256 if options["byte_fallback"] else 0)
    lines = [part for line in corpus() for part in line.split("\n") if part]
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, vocab_size=vocab_size,
                                             hard_vocab_limit=False, minloglevel=2, num_threads=1, **options)
    if tsv is not None:
        path.unlink()
    return sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())


def gguf_metadata(proto):
    """What llama.cpp's converter writes for a SentencePiece model."""
    is_bpe = proto.trainer_spec.model_type == 2
    metadata = {
        "tokenizer.ggml.model": "llama" if is_bpe else "t5",
        "tokenizer.ggml.tokens": [p.piece.replace(SPACE, " ") if p.type == 4 else p.piece for p in proto.pieces],
        "tokenizer.ggml.scores": [float(p.score) for p in proto.pieces],
        "tokenizer.ggml.token_type": [int(p.type) for p in proto.pieces],
        "tokenizer.ggml.bos_token_id": proto.trainer_spec.bos_id,
        "tokenizer.ggml.eos_token_id": proto.trainer_spec.eos_id,
        "tokenizer.ggml.unknown_token_id": proto.trainer_spec.unk_id,
        "tokenizer.ggml.add_space_prefix": proto.normalizer_spec.add_dummy_prefix,
    }
    if not is_bpe:
        metadata["tokenizer.ggml.remove_extra_whitespaces"] = proto.normalizer_spec.remove_extra_whitespaces
        charsmap = proto.normalizer_spec.precompiled_charsmap
        if charsmap:
            metadata["tokenizer.ggml.precompiled_charsmap"] = list(charsmap)
    return metadata


def sentencepiece_cases(proto):
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    cases = []
    for text in CASES:
        ids = processor.encode(text)
        case = {"plain_ids": ids}
        if processor.unk_id() not in ids:
            case["decoded"] = processor.decode(ids)
        cases.append(case)
    return cases


def write_default_model(path, cases_path, out):
    """The tokeniser of the default model: one line per token, `text TAB type TAB merge`, where merge is the number of
    bytes of the left part. Its merges make its tokens in order, so nothing else is needed."""
    import gguf
    fields = gguf.GGUFReader(path).fields
    get = lambda key: fields["tokenizer." + key].contents()
    tokens, types, merges = get("ggml.tokens"), get("ggml.token_type"), get("ggml.merges")
    base = len(tokens) - len(merges)
    lines = [f"{token}\t{kind}\t0" for token, kind in zip(tokens[:base], types)]
    for token, kind, merge in zip(tokens[base:], types[base:], merges):
        left, right = merge.split(" ")
        assert left + right == token
        lines.append(f"{token}\t{kind}\t{len(left.encode())}")
    (out / "smollm2.tokens.txt").write_text("\n".join(lines) + "\n")
    metadata = {"tokenizer." + key: get(key) for key in (
        "ggml.model", "ggml.pre", "ggml.bos_token_id", "ggml.eos_token_id", "ggml.unknown_token_id",
        "ggml.add_bos_token", "ggml.add_space_prefix", "chat_template")}
    write(out / "smollm2.json", {"metadata": metadata, "cases": json.loads(pathlib.Path(cases_path).read_text())})


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--cases", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    write_default_model(args.gguf, args.cases, args.out)
    write(args.out / "texts.json", CASES)
    for name, tokenizer in hugging_face_tokenizers().items():
        write(args.out / f"hf_{name}.json",
              {"tokenizer": json.loads(tokenizer.to_str()), "cases": hugging_face_cases(tokenizer)})
    for name, options in SENTENCEPIECE.items():
        proto = train_sentencepiece(**options)
        write(args.out / f"sp_{name}.json", {"metadata": gguf_metadata(proto), "cases": sentencepiece_cases(proto)})


if __name__ == "__main__":
    main()
