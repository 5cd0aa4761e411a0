"""The process behind `running()`: moto's server with one user and one bucket, every signature verified from then on.

Before a request reaches moto, `Behaviour` may make it fail as a store that is overloaded or half-conforming would.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

REGION = "us-east-1"
BUCKET = "sets"


@dataclass
class Behaviour:
    """slow_down: so many requests are answered by 503. unconditional: If-None-Match is passed over, as old servers do.

    lose_answers: so many conditional PUTs are done and then answered by 500, as if the answer had been lost.
    """

    slow_down: int = 0
    unconditional: bool = False
    lose_answers: int = 0
    seen: list[str] = field(default_factory=list)

    def told(self, app: Callable[..., Iterable[bytes]], environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == "/behaviour":
            return self._control(environ, start)
        self.seen.append(f"{method} {path}")
        if self.slow_down:
            self.slow_down -= 1
            start("503 Service Unavailable", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
        if self.unconditional and "HTTP_IF_NONE_MATCH" in environ:
            _forget(path)
        if self.lose_answers and "HTTP_IF_NONE_MATCH" in environ:
            self.lose_answers -= 1
            list(app(environ, lambda *_: None))
            start("500 Internal Server Error", [("Content-Type", "application/xml")])
            return [b"<Error><Code>InternalError</Code></Error>"]
        return app(environ, start)

    def _control(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "application/json")])
        if environ["REQUEST_METHOD"] == "GET":
            seen, self.seen = self.seen, []
            return [json.dumps(seen).encode()]
        for name, value in json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))).items():
            setattr(self, name, value)
        return [b"{}"]


def _forget(path: str) -> None:
    """As if there were no such object; the header itself is signed, so it cannot be taken away."""
    from moto.s3.models import s3_backends

    _, bucket, key = path.split("/", 2)
    for account in s3_backends.values():
        account["aws"].delete_object(bucket, key)


def main() -> None:
    os.environ.update(AWS_ACCESS_KEY_ID="root", AWS_SECRET_ACCESS_KEY="root", AWS_DEFAULT_REGION=REGION)
    from moto import settings
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
            """Nobody reads it."""

    app, behaviour = DomainDispatcherApplication(create_backend_app), Behaviour()
    server = make_server(
        "127.0.0.1", 0, lambda environ, start: behaviour.told(app, environ, start), threaded=False, request_handler=Silent
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    print(json.dumps({"url": url} | _user(url)), flush=True)
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    threading.Event().wait()


def _user(url: str) -> dict[str, str]:
    """The bucket and its user; whoever else there is has no key."""
    import boto3

    iam, s3 = (boto3.client(name, endpoint_url=url, region_name=REGION) for name in ("iam", "s3"))
    s3.create_bucket(Bucket=BUCKET)
    iam.create_user(UserName="ann")
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="ann", PolicyName="all", PolicyDocument=policy)
    made = iam.create_access_key(UserName="ann")["AccessKey"]
    return {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}


if __name__ == "__main__":
    sys.exit(main())
