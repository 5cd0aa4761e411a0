"""Calls against a real server on loopback that misbehaves: what is tried again, after which pauses; the key is told nobody."""

import logging
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import anyio
import pytest

from fullstep_data.engines.server_calls import Caller, Refusal
from schemas import InputError
from tests.fullstep_data.engines.loopback import Fault, Loopback, cut, drop, loopback, nothing, page, slow, status

SECRET = "sk-very-secret-0123456789"
BODY = {"model": "scripted", "prompt": "4 + 3 =", "max_tokens": 20, "seed": 1, "temperature": 1.0, "top_p": 1.0}


def caller(
    server: Loopback, retries: int = 3, timeout: float = 10.0, key: str | None = None, first_pause: float = 0.02
) -> Caller:
    return Caller(server.url, key or server.key, timeout, retries, 8, first_pause)


def post(made: Caller, count: int = 1) -> list[dict[str, Any] | Refusal]:
    """So many calls at once."""
    found: list[dict[str, Any] | Refusal] = []

    async def one() -> None:
        found.append(await made.post("completions", BODY))

    async def work() -> None:
        async with made.connected(), anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(one)

    try:
        anyio.run(work)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return found


def first(count: int, fault: Fault) -> Callable[[dict[str, Any], int], Fault | None]:
    """The first so many requests go wrong."""
    return lambda body, nth: fault if nth < count else None


FAULTS = [*map(status, (408, 429, 500, 502, 503, 504)), drop, cut, page, nothing, slow(60)]


@pytest.mark.parametrize(
    "fault", FAULTS, ids=["408", "429", "500", "502", "503", "504", "drop", "cut", "page", "nothing", "slow"]
)
def test_what_passes_is_tried_again(fault: Fault) -> None:
    with loopback() as server:
        (undisturbed,) = post(caller(server))
    with loopback(fault=first(1, fault)) as server:
        assert post(caller(server, timeout=2)) == [undisturbed]
        assert len(server.asked) == 2


@pytest.mark.parametrize("code", [400, 404, 422])
def test_what_does_not_pass_is_not_tried_again(code: int) -> None:
    with loopback(fault=lambda body, nth: status(code)) as server:
        (refused,) = post(caller(server))
        assert len(server.asked) == 1
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.detail, refused.status) == ("server refused the request", f"{code}: so it is", code)


@pytest.mark.parametrize(
    ("fault", "timeout", "reason"),
    [
        (status(500), 20.0, "server error after 4 tries"),
        (drop, 20.0, "connection broke after 4 tries"),
        (page, 20.0, "answer is not that of a completions endpoint after 4 tries"),
        (slow(60), 0.1, "no answer in time after 2 tries"),
    ],
    ids=["500", "drop", "page", "slow"],
)
def test_what_never_passes_is_given_up(fault: Fault, timeout: float, reason: str) -> None:
    with loopback(fault=lambda body, nth: fault) as server:
        (refused,) = post(caller(server, timeout=timeout))
        assert isinstance(refused, Refusal)
        assert refused.reason == reason


def test_pauses_double() -> None:
    with loopback(fault=lambda body, nth: status(500)) as server:
        started = time.monotonic()
        post(caller(server, retries=4, first_pause=0.05))
        # pauses of 0.05, 0.1, 0.2 and 0.4 s, each drawn from its upper half: 0.375 to 0.75 s
        assert time.monotonic() - started >= 0.375


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_pause_that_the_server_asks_for_holds_for_everyone(form: str) -> None:
    told: list[float] = []

    def busy(handler: Any) -> None:
        told.append(time.monotonic())
        # a date has whole seconds: one that is 2 ahead asks for 1 to 2
        asked = "0.6" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
        handler.answer(429, {"error": "slow down"}, {"Retry-After": asked})

    arrived: list[float] = []

    def fault(body: dict[str, Any], nth: int) -> Fault | None:
        arrived.append(time.monotonic())
        return busy if nth == 0 else None

    with loopback(fault=fault) as server:
        made = caller(server)
        assert all(not isinstance(answer, Refusal) for answer in post(made))
        assert arrived[1] - told[0] >= 0.55
        # one that comes while the pause lasts waits too
        made._calm_at = time.monotonic() + 0.4
        started = time.monotonic()
        post(made, 3)
        assert arrived[-3] - started >= 0.4


def test_a_storm_is_told_after_the_last_try() -> None:
    with loopback(fault=lambda body, nth: status(429, message="rate limit")) as server:
        with pytest.raises(InputError, match="too busy 4 times in a row") as caught:
            post(caller(server))
        assert len(server.asked) == 4
    assert "429: rate limit" in caught.value.examples
    assert "concurrency" in caught.value.next_step


def test_a_busy_server_that_answers_some_gets_through_them_all() -> None:
    """Three of four are turned away: among 24 at once, some more often in a row than one request alone may be tried."""
    with loopback(fault=lambda body, nth: status(429) if nth % 4 else None) as server:
        answers = post(caller(server, retries=5, first_pause=0.005), 24)
        assert all(not isinstance(answer, Refusal) for answer in answers)
        assert len(answers) == 24
        assert len(server.asked) > 48


def test_a_pause_of_an_hour_is_not_waited_for() -> None:
    with loopback(fault=lambda body, nth: status(429, {"Retry-After": "3600"})) as server:
        with pytest.raises(InputError, match="too busy") as caught:
            post(caller(server))
        assert len(server.asked) == 1
    assert "it asks to wait 3600 seconds" in caught.value.examples


def test_a_server_that_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    made = Caller(f"http://127.0.0.1:{port}/v1", None, 1, 1, 4, 0.01)
    for attempt in (made.served_models, lambda: post(made)):
        with pytest.raises(InputError, match="no answer from the server") as caught:
            attempt()
        assert caught.value.where == f"http://127.0.0.1:{port}/v1"


@pytest.mark.parametrize("given", [None, "sk-wrong-key"])
def test_a_wrong_key_is_told_at_once_and_not_shown(given: str | None) -> None:
    with loopback(key=SECRET) as server:
        made = caller(server, key=given)
        made._headers = {"Authorization": f"Bearer {given}"} if given else {}
        made._secret = given
        for attempt in (made.served_models, lambda: post(made)):
            with pytest.raises(InputError, match="refuses the API key" if given else "wants an API key") as caught:
                attempt()
            assert not given or given not in str(caught.value)
        assert len(server.asked) == 1


def test_the_key_is_in_no_log_no_message_and_no_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), loopback(key=SECRET) as server:
        made = caller(server)
        assert made.served_models()
        assert not isinstance(post(made)[0], Refusal)
    with loopback(key=SECRET, fault=lambda body, nth: status(400, message=f"bad key {SECRET}")) as server:
        (refused,) = post(caller(server))
    assert isinstance(refused, Refusal)
    assert refused.detail == "400: bad key ***"
    assert SECRET not in caplog.text + repr(made) + str(refused)


@pytest.mark.parametrize("answer", [(404, b"none"), (200, b"<html>"), (200, {"data": 7}), (200, ["a"])])
def test_a_server_without_a_list_of_models(answer: tuple[int, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fullstep_data.engines.loopback.Handler.do_GET", lambda self: self.answer(*answer))
    with loopback() as server:
        assert caller(server).served_models() == []
