import os

import openai
import pytest

from tandem_server import BINARY, MODEL, TandemServer


def pytest_sessionstart() -> None:
    if not BINARY.exists() or not os.path.exists(MODEL):
        pytest.exit(f"needs the built daemon ({BINARY}) and TANDEM_MODEL (is '{MODEL}'): run ./test", returncode=2)


@pytest.fixture(scope="session")
def server():
    """One prefill and one decode worker, for every test that leaves them as they were."""
    with TandemServer() as running:
        yield running


@pytest.fixture(scope="session")
def model(server) -> str:
    return server.model_name()


@pytest.fixture(scope="session")
def client(server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://{server.http}/v1", api_key="none", max_retries=0, timeout=60)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the server's log beside a failure of a test that shares the server."""
    report = (yield).get_result()
    shared = item.funcargs.get("server") if hasattr(item, "funcargs") else None
    if report.failed and shared is not None:
        report.sections.append(("server log", shared.log_text()[-8000:]))
