"""What goes wrong at the Hub, in a user's words, and without what lets one in."""

import httpx2
import pytest
from huggingface_hub import RepoUrl
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from fullstep_data.hub.client import Hub, lost, message, passing, redacted, status
from schemas import InputError

TOKEN = "hf_SecretSecretSecret"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("fullstep_data.hub.client.WAITS", (0.0, 0.0))


def answer(code: int, text: str = "") -> HfHubHTTPError:
    request = httpx2.Request("GET", "http://hub/api")
    return HfHubHTTPError(text or f"{code}", response=httpx2.Response(code, request=request))


def failing(*errors: Exception):
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return call


def test_what_passes_is_tried_again():
    hub = Hub("ann/sums", "dataset")
    assert hub.ask(failing(answer(503), httpx2.ReadError("lost"))) == "answer"
    assert hub.ask(failing(answer(429), answer(500))) == "answer"


def test_what_stays_is_told():
    hub = Hub("ann/sums", "dataset")
    with pytest.raises(InputError, match="status 503"):
        hub.ask(failing(*[answer(503)] * 3))
    for code, words in (
        (401, "does not accept the token"),
        (403, "may not do this"),
        (404, "no such page"),
        (412, "changed at the same moment"),
    ):
        call = failing(answer(code))
        with pytest.raises(InputError, match=words):
            hub.ask(call)
        assert call() == "answer", "it was asked once"


def test_no_connection_is_told_at_once_and_offline_too():
    hub = Hub("ann/sums", "dataset")
    call = failing(httpx2.ConnectError("refused"))
    with pytest.raises(InputError, match="cannot be reached"):
        hub.ask(call)
    assert call() == "answer"
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        hub.ask(failing(OfflineModeIsEnabled("offline")))


def test_what_the_client_trips_over_is_tried_again_and_told():
    def broken() -> str:
        calls.append(1)
        return RepoUrl(None)  # pyright: ignore[reportArgumentType]

    calls: list[int] = []
    with pytest.raises(InputError, match=r"the Hub's client \(huggingface_hub [0-9.]+\) failed") as told:
        Hub("ann/sums", "dataset").ask(broken)
    assert calls == [1, 1, 1]
    assert "Error" in told.value.examples[0]


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        Hub("ann/sums", "dataset").ask(failing(ZeroDivisionError()))


def test_the_cause_inside_of_another_error_counts():
    try:
        try:
            raise httpx2.ReadError("lost")
        except httpx2.ReadError as inner:
            raise RuntimeError("Error while uploading 'x' to the Hub.") from inner
    except RuntimeError as error:
        wrapped = error
    assert lost(wrapped)
    assert passing(wrapped)
    assert status(wrapped) is None
    assert message(wrapped) == "ReadError: lost"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {TOKEN}",
        "hf_anotherTokenOfSomebody1",
        "PUT https://store/large?X-Amz-Signature=abcdef0123456789&X-Amz-Credential=AKIAabcdef0123456789",
    ],
)
def test_tokens_and_signatures_are_cut_out(text: str):
    for secret in (TOKEN, "anotherTokenOfSomebody1", "abcdef0123456789"):
        assert secret not in redacted(text)
        assert secret not in message(RuntimeError(text))
