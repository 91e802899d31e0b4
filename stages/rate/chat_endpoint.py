"""Asks an OpenAI-compatible server for chat completions: patiently, within a budget, and never telling its key."""

import http
import http.client
import itertools
import json
import math
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from threading import Event, Lock, Timer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from stages.errors import ConfigError, TemperError
from stages.rate.stage import RateParams

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds; each repeat waits twice as long as the one before
LONGEST_BODY = 4 * 2**20  # bytes; a longer reply is no grade
PASSING = (408, 409, 425, 429)  # status codes that say: later. So does every 5xx.
SETTINGS_ARE_WRONG = (301, 302, 303, 307, 308, 401, 403, 404, 405)  # no other row will fare better
MESSAGE_BYTES = 300  # of a refusal, shown to people
BYTES_PER_TOKEN = 3  # few tokens of a text are shorter, so this counts too many of them rather than too few


class RequestFailed(TemperError):
    """This request got no usable reply; `passing` when the same request may get one later.

    `refused` when the server said so itself, and so spent no token on it; `wait` = the seconds that it asked for.
    """

    def __init__(self, why: str, *, passing: bool, refused: bool = False, wait: float | None = None) -> None:
        super().__init__(why)
        self.passing, self.refused, self.wait = passing, refused, wait


class Reply(NamedTuple):
    text: str
    tokens: int | None  # of question and reply, as the server counts them
    first_token: list[dict[str, Any]] | None  # token and probability of what could have come first


class Budget:
    """What a run may spend. Requests under way are counted with what they may cost at most."""

    def __init__(self, max_requests: int | None, max_tokens: int | None) -> None:
        self.max_requests, self.max_tokens = max_requests, max_tokens
        self.requests, self.tokens = 0, 0
        self._lock = Lock()

    def take(self, tokens: int) -> bool:
        """Whether one more request of at most `tokens` tokens may be sent; then it is counted."""
        with self._lock:
            if self.max_requests is not None and self.requests >= self.max_requests:
                return False
            if self.max_tokens is not None and self.tokens + tokens > self.max_tokens:
                return False
            self.requests, self.tokens = self.requests + 1, self.tokens + tokens
            return True

    def settle(self, taken: int, used: int) -> None:
        with self._lock:
            self.tokens += used - taken


class ChatEndpoint:
    """One server. Safe to use from several threads; setting `stop` ends every wait."""

    def __init__(self, params: RateParams, key: str, budget: Budget) -> None:
        address = urlsplit(str(params.judge_endpoint))
        self._is_https, self._host, self._port = address.scheme == "https", address.hostname or "", address.port
        self._path = address.path.rstrip("/") + "/chat/completions"
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        if key:
            if not (key.isascii() and key.isprintable()):
                raise ConfigError("TEMPER_JUDGE_API_KEY holds characters that no key has; set it again")
            self._headers["Authorization"] = f"Bearer {key}"
        self._key, self.params, self.budget, self.stop = key, params, budget, Event()
        self._resume_at = 0.0  # no request before this moment: the server said that it is overrun
        self._jitter = Random(0)

    def ask(self, body: Mapping[str, Any]) -> Reply | None:
        """The server's reply; None when the budget is spent. Raises RequestFailed after the last repeat, ConfigError."""
        sent = json.dumps(body, ensure_ascii=False).encode()
        may_cost = len(sent) // BYTES_PER_TOKEN + self.params.judge_max_answer_tokens
        for attempt in itertools.count():
            self.stop.wait(max(0.0, self._resume_at - time.monotonic()))
            if self.stop.is_set():
                raise RequestFailed("stopped", passing=True)
            if not self.budget.take(may_cost):
                return None
            try:
                reply = self._send(sent)
            except RequestFailed as error:
                self.budget.settle(may_cost, 0 if error.refused else may_cost)
                if not error.passing or attempt >= self.params.judge_retries:
                    raise
                self._back_off(attempt, error.wait)
            else:
                self.budget.settle(may_cost, may_cost if reply.tokens is None else reply.tokens)
                return reply
        return None

    def _back_off(self, attempt: int, asked: float | None) -> None:
        wait = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * self._jitter.uniform(0.5, 1.0)
        if asked is not None:
            wait = min(max(asked, 0.0), LONGEST_WAIT)
            self._resume_at = max(self._resume_at, time.monotonic() + wait)
        self.stop.wait(wait)

    def _send(self, sent: bytes) -> Reply:
        seconds = self.params.judge_timeout_seconds
        connection = self._connection(seconds)
        # A socket's own timeout begins anew with each byte, so a server that drips would hold the thread for ever.
        timer = Timer(seconds, _cut, [connection])
        timer.daemon = True
        timer.start()
        try:
            connection.request("POST", self._path, body=sent, headers=self._headers)
            response = connection.getresponse()
            content = response.read(LONGEST_BODY)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RequestFailed(self._clean(f"{type(error).__name__}: {error}"), passing=True) from error
        finally:
            timer.cancel()
            connection.close()
        if response.status != http.HTTPStatus.OK:
            self._refuse(response, content)
        return _read_completion(content)

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        if self._is_https:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=seconds)

    def _refuse(self, response: http.client.HTTPResponse, content: bytes) -> None:
        status, said = response.status, self._clean(content[:MESSAGE_BYTES].decode("utf-8", "replace"))
        if status in SETTINGS_ARE_WRONG:
            raise ConfigError(
                f"the judge at {self.params.judge_endpoint} answers {status} to model {self.params.judge_model}: {said}; "
                "mend judge_endpoint, judge_model or the key in TEMPER_JUDGE_API_KEY"
            )
        is_passing = status in PASSING or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
        wait = _seconds_to_wait(response.getheader("Retry-After"))
        raise RequestFailed(f"HTTP {status}: {said}", passing=is_passing, refused=True, wait=wait)

    def _clean(self, text: str) -> str:
        """Some servers repeat the key when they refuse it."""
        shown = text.replace(self._key, "***") if self._key else text
        return " ".join(shown.split())


def _cut(connection: http.client.HTTPConnection) -> None:
    """Ends whatever another thread waits for on this connection."""
    if connection.sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _seconds_to_wait(retry_after: str | None) -> float | None:
    """Retry-After as RFC 9110 has it: seconds, or a date."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
        return None if math.isnan(seconds) else seconds
    except ValueError:
        with suppress(ValueError, TypeError):
            return (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
    return None


def _text_of(content: object) -> str:
    """A reply's text: itself, or its parts of text. Raises TypeError, LookupError for what is neither."""
    if isinstance(content, list):
        return "".join(_text_of(part["text"]) for part in content if part["type"] == "text")
    if not isinstance(content or "", str):
        raise TypeError(f"a reply of {type(content).__name__}")
    return str(content or "")


def _tokens_of(usage: Any) -> int | None:
    """None for a count that cannot be read: the reply is paid for all the same."""
    with suppress(LookupError, TypeError, ValueError, OverflowError):
        return max(0, int(usage["total_tokens"]))
    return None


def _read_completion(content: bytes) -> Reply:
    try:
        stated = json.loads(content)
        choice = stated["choices"][0]
        first = ((choice.get("logprobs") or {}).get("content") or [{}])[0].get("top_logprobs")
        likely = [{"token": t["token"], "probability": math.exp(t["logprob"])} for t in first] if first else None
        return Reply(_text_of(choice["message"].get("content")), _tokens_of(stated.get("usage")), likely)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise RequestFailed(f"no chat completion came back: {content[:80]!r}", passing=True) from error
