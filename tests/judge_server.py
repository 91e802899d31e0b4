"""A local server that speaks the chat completions protocol, and can misbehave like real ones."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Handler = BaseHTTPRequestHandler
# Gets the handler, the request's body and how often this body came before; answers for itself and returns None, or
# returns the text of the reply.
Behaviour = Callable[[Handler, dict[str, Any], int], str | None]
SCORE_FOUR = '{"comment": "Right.", "score": 4}'


class JudgeServer:
    """What came in: bodies and headers in the order of arrival, and how many requests were under way at once."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def _handler(self) -> type[Handler]:
        outer = self

        class Answering(Handler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.answer(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing on the tests' screen."""

        return Answering

    def answer(self, handler: Handler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self.lock:
            before = self.bodies.count(body)
            self.bodies.append(body)
            self.headers.append({**handler.headers, "path": handler.path})
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            text = self.behaviour(handler, body, before)
        except OSError:
            text = None  # the other side hung up, as it should
        finally:
            with self.lock:
                self.under_way -= 1  # before the reply: who has it may ask again at once
        if text is not None:
            with suppress(OSError):
                send(handler, completion(text))


def completion(text: str | None, **choice: Any) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"message": message, **choice}], "usage": {"total_tokens": 50}}).encode()


def send(handler: Handler, content: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def drip(handler: Handler) -> None:
    """A byte now and then, for ever: no single wait is long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(1200):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def half_a_body(handler: Handler) -> None:
    whole = completion(SCORE_FOUR)
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(whole)))
    handler.end_headers()
    handler.wfile.write(whole[: len(whole) // 2])
    hang_up(handler)


def hang_up(handler: Handler) -> None:
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


@contextmanager
def judge_server(behaviour: Behaviour) -> Iterator[JudgeServer]:
    """Runs in a thread; stops and frees its port at the end."""
    made = JudgeServer(behaviour)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()
