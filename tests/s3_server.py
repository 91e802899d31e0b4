"""A server in a test that speaks as much of the S3 protocol as reading a prefix takes: list in pages, and get."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

Objects = dict[str, bytes]
PAGE = 2  # objects to a page of a listing, so that there are several


class Handler(BaseHTTPRequestHandler):
    objects: Objects = {}  # noqa: RUF012 - set for each server
    bucket = "bucket"
    refused: set[str] = set()  # noqa: RUF012
    damaged: set[str] = set()  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        self.asked.append(key)
        if bucket != self.bucket:
            self.answer(404, self.error("NoSuchBucket"))
        elif not key:
            self.answer(200, self.listing(parse_qs(url.query)))
        elif key in self.refused:
            self.answer(403, self.error("AccessDenied"))
        elif self.headers.get("If-Match") not in (None, etag(self.objects[key])):
            self.answer(412, self.error("PreconditionFailed"))
        else:
            content = self.objects[key]
            self.answer(200, content[::-1] if key in self.damaged else content, etag(content))

    def listing(self, query: dict[str, list[str]]) -> bytes:
        prefix, start = query.get("prefix", [""])[0], query.get("continuation-token", [""])[0]
        keys = [key for key in sorted(self.objects) if key.startswith(prefix) and key > start]
        shown = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size><ETag>{escape(etag(self.objects[key]))}</ETag></Contents>"
            for key in keys[:PAGE]
        )
        more = f"<NextContinuationToken>{escape(keys[PAGE - 1])}</NextContinuationToken>" if len(keys) > PAGE else ""
        return f"<ListBucketResult><IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}{shown}</ListBucketResult>".encode()

    def error(self, code: str) -> bytes:
        return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()

    def answer(self, status: int, content: bytes, tag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


@contextmanager
def serving(objects: Objects) -> Iterator[tuple[str, type[Handler]]]:
    """Address of a server with one bucket, and its handler, whose fields a test may change."""
    handler = type("Serving", (Handler,), {"objects": objects, "refused": set(), "damaged": set(), "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
