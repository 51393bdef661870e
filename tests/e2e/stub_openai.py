"""An OpenAI-compatible server that answers as a test tells it to.

    with StubServer(behave) as stub:
        run_tandem("bench", "--url", stub.url)

`behave(number, request)` returns the pieces of an answer: bytes to write, or seconds to wait. The connection closes after the
last one.
"""

import asyncio
import json
import threading


def answer(status: str, headers: str, body: bytes) -> list:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n"
    return [head.encode() + body]


def event(data) -> bytes:
    """One server-sent event as a chunk of HTTP/1.1."""
    text = data if isinstance(data, str) else json.dumps(data)
    line = f"data: {text}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(line), line)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def stream(num_tokens: int, ttft_s: float = 0.0, tpot_s: float = 0.0) -> list:
    pieces = [ttft_s, STREAM_HEAD]
    for i in range(num_tokens):
        pieces += [event({"choices": [{"index": 0, "text": f" {i}"}]}), tpot_s]
    pieces.append(event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": num_tokens}}))
    return pieces + [event("[DONE]"), b"0\r\n\r\n"]


class StubServer:
    def __init__(self, behave):
        self.behave = behave
        self.requests = []  # (path, headers, body) of each POST
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop).result()
        self.url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @staticmethod
    async def _cancel_all() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader, writer) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if method == "GET":
                pieces = answer("200 OK", "", json.dumps({"data": [{"id": "stub", "meta": {"n_vocab": 500}}]}).encode())
            else:
                request = json.loads(body)
                self.requests.append((path, headers, request))
                pieces = self.behave(len(self.requests) - 1, request)
            for piece in pieces:
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                else:
                    writer.write(piece)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The client has gone.
        finally:
            writer.close()
