"""`tandem bench-engine` and `tandem quantize`, as a shell sees them."""

import json
import os

import gguf
import numpy
import pytest

from tandem_server import MODEL, run_tandem

SMALL_GRID = ["--threads", "1", "--prompts", "16", "--batches", "2,1:32+2", "--context", "16", "--new-tokens", "3",
              "--repetitions", "2"]


def bench(*arguments: str):
    return run_tandem("bench-engine", "--model", MODEL, *SMALL_GRID, *arguments, timeout_s=240)


def test_bench_engine_prints_json():
    result = bench("--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["machine"]["threads"] == 1
    assert report["options"]["new_tokens"] == 3
    assert report["start"]["first_token_s"] >= report["start"]["load_s"] > 0
    assert report["memory"]["decode_sequences"] == 16
    assert report["memory"]["peak_bytes"] >= report["memory"]["decode_resident_bytes"] > 0
    assert all(limit > 0 for limit in report["limits"].values())
    assert [row["name"] for row in report["rows"]] == ["prefill 16", "decode batch 2 (16..19)", "decode batch 1 (32..34)"]
    for row in report["rows"]:
        rate = row["tokens_per_s"]
        assert 0 < rate["min"] <= rate["median"] <= rate["max"]
        assert len(row["seconds"]) == 2
        assert row["bandwidth_share"] > 0 and row["arithmetic_share"] > 0


def test_bench_engine_prints_a_table():
    result = bench()
    assert result.returncode == 0, result.stderr
    for text in ("machine", "limits", "tokens/s", "prefill 16", "decode batch 1 (32..34)"):
        assert text in result.stdout
    assert result.stderr == ""  # No progress bar where stderr is no terminal.


@pytest.mark.parametrize("arguments, reason", [
    (["--prompts", "many"], "many"),
    (["--batches", "8:"], "8:"),
    (["--prompts", "1000000"], "context"),
])
def test_bench_engine_refuses_loads_by_name(arguments, reason):
    result = bench(*arguments)
    assert result.returncode != 0
    assert reason in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A small file of gguf's own writer."""
    path = tmp_path_factory.mktemp("quantize") / "original.gguf"
    rng = numpy.random.default_rng(3)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Small")
    writer.add_token_list(["a", "b"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tensor("token_embd.weight", rng.normal(0, 0.05, (48, 64)).astype(numpy.float32))
    writer.add_tensor("blk.0.attn_q.weight", rng.normal(0, 0.05, (64, 64)).astype(numpy.float16))
    writer.add_tensor("blk.0.attn_norm.weight", rng.normal(1, 0.05, 64).astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def quantize(source, output, *arguments: str):
    return run_tandem("quantize", "--model", str(source), "--output", str(output), *arguments)


@pytest.mark.parametrize("type_name", ["q8_0", "q4_0"])
def test_quantize_writes_what_gguf_reads_and_rounds_to(model_file, tmp_path, type_name):
    output = tmp_path / "out.gguf"
    result = quantize(model_file, output, "--type", type_name)
    assert result.returncode == 0, result.stderr
    original, written = gguf.GGUFReader(model_file), gguf.GGUFReader(output)
    dtype = gguf.GGMLQuantizationType[type_name.upper()]
    types = {"token_embd.weight": gguf.GGMLQuantizationType.Q8_0, "blk.0.attn_q.weight": dtype,
             "blk.0.attn_norm.weight": gguf.GGMLQuantizationType.F32}
    assert {tensor.name: tensor.tensor_type for tensor in written.tensors} == types
    for tensor in original.tensors:
        (found,) = [t for t in written.tensors if t.name == tensor.name]
        assert list(found.shape) == list(tensor.shape)
        expected = gguf.quants.quantize(numpy.array(tensor.data, numpy.float32), types[tensor.name])
        assert numpy.array_equal(found.data.view(numpy.uint8), expected.view(numpy.uint8)), tensor.name
    changed = {"general.file_type": gguf.LlamaFileType["MOSTLY_" + type_name.upper()],
               "general.quantization_version": gguf.GGML_QUANT_VERSION}
    for key in [key for key in original.fields if not key.startswith("GGUF.")] + list(changed):
        expected = changed[key] if key in changed else original.fields[key].contents()
        assert written.fields[key].contents() == expected, key


def test_quantize_refuses_what_is_quantised():
    result = quantize(MODEL, "/nonexistent/out.gguf")
    assert result.returncode != 0
    assert "quantised already" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_quantize_keeps_a_file_that_is_there(model_file, tmp_path):
    output = tmp_path / "out.gguf"
    output.write_text("precious")
    result = quantize(model_file, output)
    assert result.returncode != 0
    assert "--force" in result.stderr
    assert output.read_text() == "precious"
    assert quantize(model_file, output, "--force").returncode == 0
    assert output.read_bytes()[:4] == b"GGUF"
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


@pytest.mark.parametrize("source, output, reason", [
    ("missing.gguf", "out.gguf", "missing.gguf"),
    ("", "missing/out.gguf", "missing/out.gguf"),
    (".", "out.gguf", "folder"),
])
def test_quantize_names_files_that_cannot_be(model_file, tmp_path, source, output, reason):
    result = quantize(tmp_path / source if source else model_file, tmp_path / output)
    assert result.returncode != 0
    assert reason in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_profile_adds_each_shape_to_its_file(tmp_path):
    path = tmp_path / "profile.json"
    grid = ["--chunk-tokens=1,16,48", "--stored-tokens=0,64", "--decode-batches=1,2,4", "--decode-contexts=16,64",
            "--repetitions=2", "--threads=1", "--output", str(path)]
    report = json.loads(run_tandem("profile", "--model", MODEL, *grid, "--json", timeout_s=240).stdout)
    assert report["tp"] == 1 and len(report["points"]) == 6 + 6 + 4
    assert all(point["times_ms"] and point["model_ms"] > 0 for point in report["points"])
    assert report["errors"]["all"]["points"] == len(report["points"])
    table = run_tandem("profile", "--model", MODEL, *grid, timeout_s=240).stdout
    assert "prefill" in table and "error" in table
    profile = json.loads(path.read_text())
    assert [instance["tp"] for instance in profile["instances"]] == [1]
    assert profile["instances"][0]["latency"]["decode"]["base_ms"] >= 0
    assert profile["instances"][0]["prefill_batch_tokens"] in (64, 256)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a neighbour needs a core of its own")
def test_profile_beside_busy_neighbours():
    grid = ["--chunk-tokens=16", "--stored-tokens=0", "--decode-batches=1,2", "--decode-contexts=16", "--threads=1"]
    report = json.loads(run_tandem("profile", "--model", MODEL, *grid, "--neighbours=1", "--json", timeout_s=240).stdout)
    assert all(len(point["times_ms"]) == 5 for point in report["points"])
    crowded = run_tandem("profile", "--model", MODEL, *grid, "--neighbours=1000")
    assert crowded.returncode != 0 and "--neighbours" in crowded.stderr
