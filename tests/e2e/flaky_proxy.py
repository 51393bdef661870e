"""A TCP proxy that does to a connection what networks do."""

import contextlib
import socket
import threading
import time


class FlakyProxy:
    """Forwards to `port` on loopback. `fault(connection, num_bytes, data)` sees what comes from there: the number of
    the connection, the bytes it has had so far, and the next ones. It returns what goes on, or None to cut it."""

    def __init__(self, port: int, fault):
        self._target, self._fault = port, fault
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = []
        self._num_connections = 0

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        for each in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                number = self._num_connections
                self._num_connections += 1
                threading.Thread(target=self._pass_on, args=(client, server, None), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, number), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, number: int | None) -> None:
        num_bytes = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                size = len(data)
                if number is not None:
                    data = self._fault(number, num_bytes, data)
                    if data is None:
                        break
                num_bytes += size
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Once:
    """Acts on the first byte at or behind `at` of any connection, and then never again."""

    def __init__(self, at: int, act):
        self._at, self._act = at, act
        self.happened = False

    def __call__(self, _, num_bytes: int, data: bytes):
        if self.happened or num_bytes + len(data) <= self._at:
            return data
        self.happened = True
        return self._act(data, max(0, self._at - num_bytes))


def cut(_data: bytes, _offset: int) -> None:
    return None


def flip(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1:]


def stall(seconds: float):
    def act(data: bytes, _offset: int) -> bytes:
        time.sleep(seconds)
        return data
    return act
