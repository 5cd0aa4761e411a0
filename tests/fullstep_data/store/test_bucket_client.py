"""Keys and servers that do not work: one clear error each, without the keys in it."""

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from fullstep_data.store import Store, open_version
from fullstep_data.store.bucket_client import bucket_client
from fullstep_data.store.storage import path_of
from schemas import InputError
from tests.fullstep_data.small_chain import build
from tests.object_server import BUCKET, ObjectServer

WRONG_KEY = "AKIAWRONGKEY12345678"
WRONG_SECRET = "wrongSecretThatNobodyMaySee123456789"


def _refused(address: str) -> list[InputError]:
    """What reading and building say."""
    told: list[InputError] = []
    for call in (lambda: open_version(address), lambda: build(path_of(address)), lambda: Store.open(path_of(address))):
        with pytest.raises(InputError) as caught:
            call()
        told.append(caught.value)
    return told


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("AWS_ACCESS_KEY_ID", WRONG_KEY, "InvalidAccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", WRONG_SECRET, "SignatureDoesNotMatch"),
    ],
)
def test_wrong_keys_are_told_and_not_shown(
    address: str, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: str
) -> None:
    monkeypatch.setenv(name, value)
    for error in _refused(address):
        assert error.what == f"the object store refuses this access: {code}"
        assert error.where.startswith(address)
        assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE" in error.next_step
        for secret in (object_server.key, object_server.secret, WRONG_KEY, WRONG_SECRET):
            assert secret not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__, "a traceback would show what the client says"


def test_a_bucket_that_is_not_there_is_told(address: str, object_server: ObjectServer) -> None:
    for error in _refused("s3://no-such-bucket/x"):
        assert error.what == f"there is no such bucket at {object_server.url}"
        assert error.where.startswith("s3://no-such-bucket/x")
        assert "make the bucket first" in error.next_step


def test_a_server_that_is_down_is_told_with_its_name(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be reached") as caught:
        open_version(address)
    assert "http://127.0.0.1:9" in caught.value.what
    assert "run the same command again" in caught.value.next_step


def test_a_server_that_fails_for_long_is_told_and_one_that_recovers_is_not(address: str, object_server: ObjectServer) -> None:
    object_server.control(slow_down=3)
    assert build(path_of(address)).number == 1
    object_server.control(slow_down=1000)
    with pytest.raises(InputError, match="failed again and again: SlowDown") as caught:
        open_version(address)
    assert "wait" in caught.value.next_step


def test_without_keys_boto3_is_asked(
    address: str, tmp_path: Path, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(path_of(address))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    keys = tmp_path / "credentials"
    keys.write_text(f"[other]\naws_access_key_id = {object_server.key}\naws_secret_access_key = {object_server.secret}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    with pytest.raises(InputError, match="names no keys") as caught:
        open_version(address)
    assert "AWS_PROFILE" in caught.value.next_step
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert open_version(address).frame("pairs").height == 7


def test_keys_of_google_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    with pytest.raises(InputError, match="names no keys for the object store, or none that can be read") as caught:
        open_version("gs://sets/x")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.next_step


@pytest.mark.parametrize("package", ["obstore", "boto3"])
def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, address: str, package: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package or name == "obstore.auth.boto3"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(InputError, match=f"need the package {package}") as caught:
        bucket_client("s3", f"{BUCKET}-never-asked")
    assert caught.value.next_step == 'pip install "fullstep[object]"'
