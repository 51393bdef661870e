"""The connection that KV travels over breaks, stalls or changes a bit: the text is the one it would have been, and what
happened is counted."""

import contextlib
import re
import time

import pytest

from flaky_proxy import FlakyProxy, Once, cut, flip, stall
from frame_proxy import FrameProxy, OnceOnFrame, drop, rename, repeat, swap, truncate
from tandem_server import MODEL, TandemProcess, TandemServer, free_port, wait_until

# About 500 tokens: 190 KiB for keys or values of a layer.
BODY = {"prompt": "The ship went " + "on and on, " * 120 + "until", "max_tokens": 20, "temperature": 0.8, "seed": 5,
        "ignore_eos": True}
# Only the KV stream ever has this many bytes, and here it is in the middle of a frame's payload.
IN_A_PAYLOAD = 100_000


@contextlib.contextmanager
def gateway_behind(fault, *prefill_flags: str, proxy_type=FlakyProxy):
    """A cluster whose prefill worker is reached through a proxy with that fault."""
    port, worker_port = free_port(), free_port()
    address = ["--scheduler", f"127.0.0.1:{port}"]
    common = ["--model", MODEL, *address, "--threads", "1"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(TandemProcess("scheduler", "--grpc-port", str(port)))
        proxy = stack.enter_context(proxy_type(worker_port, fault))
        stack.enter_context(TandemProcess("worker", "--role", "prefill", "--grpc-port", str(worker_port),
                                          "--advertise-address", f"127.0.0.1:{proxy.port}", *common, *prefill_flags))
        stack.enter_context(TandemProcess("worker", "--role", "decode", "--grpc-port", "0", *common))
        gateway = stack.enter_context(TandemServer(*address, command="gateway"))
        wait_until(lambda: gateway.request("GET", "/ready")[0] == 200, "ready", timeout_s=60)
        yield gateway


def total(gateway, metric: str) -> float:
    """Sum over instances."""
    _, _, text = gateway.request("GET", "/metrics")
    return sum(map(float, re.findall(rf"^{metric}(?:\{{.*\}})? (\S+)$", text.decode(), re.MULTILINE)))


def answer(server) -> tuple[str, str]:
    body = server.post("/v1/completions", BODY)
    return body["choices"][0]["text"], body["tandem"]["path"]


@pytest.fixture(scope="module")
def undisturbed(server):
    return answer(server)[0]


def test_a_broken_connection_is_tried_again(undisturbed):
    fault = Once(IN_A_PAYLOAD, cut)
    with gateway_behind(fault) as gateway:
        assert answer(gateway) == (undisturbed, "disaggregated") and fault.happened
        wait_until(lambda: total(gateway, "tandem_kv_transfer_retries_total") == 1, "the retry is counted")
        assert total(gateway, "tandem_recomputes_total") == 0
        gateway.check_no_block_is_lost()


def test_a_connection_that_is_slow_to_come_back_is_waited_for(undisturbed):
    broken = Once(IN_A_PAYLOAD, cut)

    def fault(connection: int, num_bytes: int, data: bytes):
        if broken.happened and num_bytes == 0:
            time.sleep(0.5)
        return broken(connection, num_bytes, data)

    with gateway_behind(fault) as gateway:
        assert answer(gateway) == (undisturbed, "disaggregated") and broken.happened
        gateway.check_no_block_is_lost()


def test_a_connection_that_always_breaks_is_given_up(undisturbed):
    def fault(_, num_bytes: int, data: bytes):
        return data if num_bytes + len(data) < IN_A_PAYLOAD else None

    with gateway_behind(fault) as gateway:
        assert answer(gateway) == (undisturbed, "recomputed")
        wait_until(lambda: total(gateway, "tandem_recomputes_total") == 1, "the recomputation is counted")
        assert total(gateway, "tandem_kv_transfer_retries_total") == 1
        gateway.check_no_block_is_lost()


def test_a_changed_bit_is_found_and_sent_again(undisturbed):
    fault = Once(IN_A_PAYLOAD, flip)
    with gateway_behind(fault) as gateway:
        assert answer(gateway) == (undisturbed, "disaggregated") and fault.happened
        wait_until(lambda: total(gateway, "tandem_kv_frame_errors_total") == 1, "the frame is counted")
        assert total(gateway, "tandem_kv_transfer_retries_total") == 0
        gateway.check_no_block_is_lost()


def test_a_slow_transfer_keeps_its_lease(undisturbed):
    """Three times as long as the lease, which the decode worker renews."""
    fault = Once(IN_A_PAYLOAD, stall(6))
    with gateway_behind(fault, "--kv-lease", "2s") as gateway:
        assert answer(gateway) == (undisturbed, "disaggregated") and fault.happened
        assert total(gateway, "tandem_kv_lease_expired_total") == 0
        gateway.check_no_block_is_lost()


# What is lost or belongs elsewhere makes the transfer begin anew; a frame that is cut short is asked for again; one
# that comes twice is ignored; and since frames name their place, their order does not matter.
@pytest.mark.parametrize("act, num_errors, num_retries", [
    (drop, 1, 1), (repeat, 1, 0), (swap, 0, 0), (truncate, 1, 0), (rename, 1, 1),
], ids=lambda value: getattr(value, "__name__", str(value)))
def test_lost_repeated_swapped_and_wrong_frames_change_no_token(undisturbed, act, num_errors, num_retries):
    fault = OnceOnFrame(5, act)
    with gateway_behind(fault, proxy_type=FrameProxy) as gateway:
        assert answer(gateway) == (undisturbed, "disaggregated") and fault.happened
        wait_until(lambda: total(gateway, "tandem_kv_frame_errors_total") == num_errors, "the frame is counted")
        assert total(gateway, "tandem_kv_transfer_retries_total") == num_retries
        assert total(gateway, "tandem_recomputes_total") == 0
        gateway.check_no_block_is_lost()


def test_a_transfer_that_always_loses_a_frame_is_given_up(undisturbed):
    def fault(messages):
        return OnceOnFrame(5, drop)(messages)

    with gateway_behind(fault, proxy_type=FrameProxy) as gateway:
        assert answer(gateway) == (undisturbed, "recomputed")
        wait_until(lambda: total(gateway, "tandem_kv_frame_errors_total") == 2, "both frames are counted")
        gateway.check_no_block_is_lost()
