"""The client of a bucket (obstore, the extra `object`), made from the environment, and its errors in words of ours.

    client = bucket_client("s3", "bucket")
    told = fault("s3", "s3://bucket/sums/versions", error)      # an InputError: no key and no signed text is in it

S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else what boto3 finds (AWS_PROFILE, a role, single sign-on); AWS_REGION,
AWS_ENDPOINT_URL. GCS: GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_BASE_URL.
"""

import os
import re
from datetime import timedelta
from functools import lru_cache
from typing import Any

from schemas import InputError

_ENDPOINTS = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"), "gs": ("GOOGLE_BASE_URL",)}
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS (the file of a service account)",
}
_RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_AGAIN = "finished parts are kept: run the same command again"


def bucket_client(scheme: str, bucket: str) -> Any:
    """The client, one for each process. InputError: a package of the extra is missing, or there are no keys."""
    told = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(("AWS_", "GOOGLE_"))))
    return _client(scheme, bucket, os.getpid(), told)


@lru_cache(maxsize=8)
def _client(scheme: str, bucket: str, process: int, environment: tuple[tuple[str, str], ...]) -> Any:
    try:
        from obstore.store import GCSStore, S3Store
    except ImportError as error:
        raise _not_installed(error) from error
    # A server that the user names by http:// is meant to be asked without TLS; any other is not.
    options: Any = {"allow_http": endpoint(scheme).startswith("http://"), "connect_timeout": "10s", "timeout": "15m"}
    try:
        if scheme == "gs":
            return GCSStore(bucket, client_options=options, retry_config=_RETRIES)
        config: Any = {"conditional_put": "etag"}
        keys = {} if _has_keys() else {"credential_provider": _boto3_keys()}
        return S3Store(bucket, config=config, client_options=options, retry_config=_RETRIES, **keys)
    except (ValueError, _base_error()):
        raise InputError(
            "the environment names no keys for the object store, or none that can be read",
            where=f"{scheme}://{bucket}",
            next_step=f"set {_KEYS[scheme]} and try again",
        ) from None


def endpoint(scheme: str) -> str:
    """The server that the environment names; empty: the cloud's own."""
    return next((os.environ[name] for name in _ENDPOINTS[scheme] if os.environ.get(name)), "")


def fault(scheme: str, where: str, error: Exception) -> InputError:
    """What to tell about an error: our own words and the server's code, for the client's text shows the request."""
    text = str(error)
    code, status = _CODE.search(text), _STATUS.search(text)
    name = code[1] if code else f"status {status[1]}" if status else ""
    number = int(status[1]) if status else 0
    server = f" at {endpoint(scheme)}" if endpoint(scheme) else ""
    if name == "NoSuchBucket" or (number == 404 and scheme == "gs"):
        return InputError(f"there is no such bucket{server}", where, next_step="make the bucket first, or name another")
    if number in (401, 403) or name in ("ExpiredToken", "InvalidToken"):
        step = f"give keys that may list, read, write and delete there: {_KEYS[scheme]}"
        return InputError(f"the object store refuses this access: {name}", where, next_step=step)
    if number >= 500 or name == "SlowDown":
        return InputError(f"the object store failed again and again: {name}", where, next_step=f"wait a while; {_AGAIN}")
    if number:
        step = "set AWS_REGION to the region of the bucket, and AWS_ENDPOINT_URL where the server is not Amazon's"
        return InputError(f"the object store does not take the request: {name}", where, next_step=step)
    step = f"look after the network{' and the name of the server' if server else ''}; {_AGAIN}"
    return InputError(f"the object store{server} cannot be reached", where, next_step=step)


def _has_keys() -> bool:
    given = os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY")
    return bool(given or os.environ.get("AWS_SKIP_SIGNATURE"))


def _boto3_keys() -> Any:
    """Whoever has used Amazon's own tools on this machine has keys already. ValueError: there are none."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise _not_installed(error) from error
    return Boto3CredentialProvider()


def _base_error() -> type[Exception]:
    from obstore.exceptions import BaseError

    return BaseError


def _not_installed(error: ImportError) -> InputError:
    package = (error.name or "obstore").split(".")[0]
    return InputError(f"datasets in a bucket need the package {package}", next_step='pip install "fullstep[object]"')
