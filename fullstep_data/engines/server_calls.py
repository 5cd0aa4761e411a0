"""Calls to an OpenAI-compatible server over httpx2: the key, one more try where that helps, pauses as the server asks for them.

    caller = Caller("http://localhost:8000/v1", key=None, timeout_seconds=600, retries=8, concurrency=32)
    async with caller.connected():
        answer = await caller.post("completions", body)      # the answer as a dict, or a Refusal

The key goes into one header and nowhere else: it is struck out of whatever a server says before anyone sees it.
"""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from anyio import sleep

from schemas import InputError

LONGEST_PAUSE = 60.0
"""Seconds: pauses double up to here."""
LONGEST_WISH = 600.0
"""Seconds: a server that asks for a longer pause is not waited for."""
CONNECT_SECONDS = 10.0

_BUSY = (429, 503)
_TRY_AGAIN = (408, 409, 425, 500, 502, 504, *_BUSY)
_DETAIL = 300


@dataclass(frozen=True)
class Refusal:
    """Why there is no answer, after all tries. status: HTTP, 0 where there was no response. again: worth another try.

    unreachable: no connection could be made. slow: no answer in time, which is tried twice only. pause: seconds that the server
    asks for.
    """

    reason: str
    detail: str = ""
    status: int = 0
    again: bool = False
    unreachable: bool = False
    slow: bool = False
    pause: float = 0.0

    @property
    def busy(self) -> bool:
        return self.status in _BUSY


class Caller:
    """One server. first_pause: seconds before the second try; the pauses then double, and each is drawn from its upper half."""

    def __init__(
        self, url: str, key: str | None, timeout_seconds: float, retries: int, concurrency: int, first_pause: float = 1.0
    ) -> None:
        self.url = url
        self.concurrency = concurrency
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._secret = key
        self._timeout = httpx2.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        self._retries = retries
        self._first_pause = first_pause
        self._client: httpx2.AsyncClient | None = None
        self._calm_at = 0.0  # nobody sends before: the server asked for a pause
        self._answered = 0
        self.trouble = ""  # why requests are asked again at the moment, for the progress line

    def served_models(self) -> list[dict[str, Any]]:
        """What the server says of its models ([] where it has no such list). InputError: no server, or it refuses the key."""
        try:
            response = httpx2.get(f"{self.url}/models", headers=self._headers, timeout=CONNECT_SECONDS)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unreachable(self._told(error)) from None
        if response.status_code in (401, 403):
            raise self._wrong_key(self._message(response))
        try:
            listed = response.json()["data"] if response.status_code == 200 else []
            return [entry for entry in listed if isinstance(entry, dict)]
        except (ValueError, KeyError, TypeError):
            return []

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Connections are kept open inside."""
        limits = httpx2.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        async with httpx2.AsyncClient(headers=self._headers, timeout=self._timeout, limits=limits) as self._client:
            yield
        self._client = None

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | Refusal:
        """The answer, or why there is none after all tries. InputError: wrong key, no connection, busy to the last.

        path: below the address, or with a slash before it from the server's root (the address without its /v1).
        A busy server is not given up as long as it answers anyone.
        """
        tries, pause, answered = 0, self._first_pause, self._answered
        while True:
            await self._until_calm()
            answer = await self.post_once(path, body)
            if not isinstance(answer, Refusal) or not answer.again:
                self._answered += 1
                self.trouble = ""
                return answer
            if answer.busy and self._answered > answered:
                tries, pause, answered = 0, self._first_pause, self._answered
            tries += 1
            if tries > self._retries or answer.pause > LONGEST_WISH or (answer.slow and tries > 1):
                return self._given_up(answer, tries)
            wait = max(answer.pause, random.uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST_PAUSE)
            self.trouble = "server busy, waiting" if answer.busy else f"{answer.reason}, trying again"
            if answer.busy:  # the others would only be told the same
                self._calm_at = max(self._calm_at, time.monotonic() + wait)
            else:
                await sleep(wait)

    async def _until_calm(self) -> None:
        """Wait out a pause that the server asked for; not all go on at the same moment."""
        while (wait := self._calm_at - time.monotonic()) > 0:
            await sleep(wait + random.uniform(0, self._first_pause / 2))

    def _given_up(self, answer: Refusal, tries: int) -> Refusal:
        if answer.unreachable:
            raise self._unreachable(answer.detail)
        if answer.busy:
            raise self._too_busy(answer, tries)
        return Refusal(f"{answer.reason} after {tries} tries" if tries > 1 else answer.reason, answer.detail, answer.status)

    def _address(self, path: str) -> str:
        return f"{self.url.removesuffix('/v1')}{path}" if path.startswith("/") else f"{self.url}/{path}"

    async def post_once(self, path: str, body: dict[str, Any]) -> dict[str, Any] | Refusal:
        """One try."""
        assert self._client is not None, "inside of connected()"
        try:
            response = await self._client.post(self._address(path), json=body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            return Refusal("no connection", self._told(error), again=True, unreachable=True)
        except httpx2.TimeoutException:
            return Refusal("no answer in time", f"none in {self._timeout.read:g} seconds", again=True, slow=True)
        except httpx2.HTTPError as error:
            return Refusal("connection broke", self._told(error), again=True)
        status = response.status_code
        if status in (401, 403):
            raise self._wrong_key(self._message(response))
        if status != 200:
            again = status in _TRY_AGAIN
            reason = "server error" if again else "server refused the request"
            return Refusal(reason, f"{status}: {self._message(response)}", status, again, pause=_wish(response))
        try:
            answer = response.json()
            choices = [answer["content"]] if "content" in answer else answer["choices"]  # llama.cpp's own, or OpenAI's
        except (ValueError, KeyError, TypeError):
            return Refusal("answer is not that of a completions endpoint", self._clean(response.text), again=True)
        return answer if choices else Refusal("server gave fewer completions than asked", "0 of 1", again=True)

    def _message(self, response: httpx2.Response) -> str:
        """What the server says of its refusal, in the places where servers say it."""
        try:
            body = response.json()
        except ValueError:
            return self._clean(response.text)
        said = body
        for name in ("error", "message", "detail"):
            if isinstance(said, dict) and name in said:
                said = said[name]
        return self._clean(str(said))

    def _told(self, error: Exception) -> str:
        return self._clean(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)

    def _clean(self, text: str) -> str:
        """Short, on one line, and without the key."""
        text = " ".join(text.split())
        return (text.replace(self._secret, "***") if self._secret else text)[:_DETAIL]

    def _unreachable(self, detail: str) -> InputError:
        return InputError(
            "no answer from the server",
            where=self.url,
            examples=[detail],
            next_step="start the server, or mend samples.engine.url, and run the same command again; finished parts are kept",
        )

    def _wrong_key(self, detail: str) -> InputError:
        return InputError(
            "the server refuses the API key" if self._secret else "the server wants an API key",
            where=self.url,
            examples=[detail],
            next_step="name in samples.engine.api_key_env the environment variable that holds the right key",
        )

    def _too_busy(self, answer: Refusal, tries: int) -> InputError:
        return InputError(
            f"the server was too busy {tries} times in a row",
            where=self.url,
            examples=[answer.detail, *([f"it asks to wait {answer.pause:g} seconds"] if answer.pause else [])],
            next_step="lower samples.engine.concurrency, or raise samples.engine.retries, and run the same command again; "
            "finished parts are kept",
        )


def _wish(response: httpx2.Response) -> float:
    """Seconds of Retry-After, which is a number or a date (RFC 9110, 10.2.3); 0 where there is none."""
    text = response.headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
