"""The Hub's HTTP interface as far as the clients call it: see tests/hub_server/__init__.py.

One thread a connection; `Hub.lock` is held while a request is carried out. Every request is kept in `Hub.log`.
"""

import base64
import hashlib
import json
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_server.faults import Fault
from tests.hub_server.hub import Hub, Request
from tests.hub_server.repos import Commit, File, Repo, folder_entries, folder_entry

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
REGULAR = (".md", ".json", ".sql", ".gitattributes", ".txt", ".jinja")  # what goes into git itself; all else is a large file
LICENCES = ("mit", "apache-2.0", "cc-by-4.0", "cc-by-sa-4.0", "other")
CREATE = "/api/repos/create"
NAMELESS = (CREATE, "/api/validate-yaml")
NAME = r"(?P<name>[^/]+/[^/]+)"
API = re.compile(rf"/api/(?P<kind>models|datasets|spaces)/{NAME}(?P<rest>/.*)?")
LFS = re.compile(rf"/(?:(?P<kind>datasets|spaces)/)?{NAME}\.git/info/lfs/objects/batch")
LARGE = re.compile(rf"/large/(?P<kind>model|dataset|space)/{NAME}/(?P<oid>[0-9a-f]+)")
RESOLVE = re.compile(rf"/(?:(?P<kind>datasets|spaces)/)?{NAME}/resolve/(?P<rev>[^/]+)/(?P<path>.+)")


class Refused(Exception):  # noqa: N818
    """An answer other than 200: status, code for X-Error-Code, message."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.body = status, code, {"error": message, **more}


class Dropped(Exception):  # noqa: N818
    """The connection ends here."""


@contextmanager
def running() -> Iterator[Hub]:
    """A Hub on a free port of loopback."""
    hub = Hub()
    handler = type("Handler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None if isinstance(sys.exception(), OSError) else hub.log.append(_crash())
    hub.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _crash() -> Request:
    return Request("CRASH", traceback.format_exc(), 0, 0, {})


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        self.half = False
        size = int(self.headers.get("Content-Length") or 0)
        self.early = self.rfile.read(size) if self.path in NAMELESS else None
        with self.hub.lock:
            fault = self.hub.fault(f"{self.command} {self.path} {self._named()}")
        try:
            self._answer(fault, size)
        except Dropped:
            self._note(f"dropped {fault.kind}" if fault else "dropped", size)
            self.close_connection = True
            self.connection.close()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _named(self) -> str:
        """The repository that a request is about whose path does not say it."""
        if self.path == CREATE:
            wish = json.loads(self.early or b"{}")
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            return f"{wish.get('organization') or self.hub.users.get(token)}/{wish.get('name')}"
        return (self.early or b"").decode()

    def _answer(self, fault: Fault | None, size: int) -> None:
        kind = fault.kind if fault else None
        if kind == "before":
            raise Dropped
        if kind == "middle" and size > 1:
            self.rfile.read(0 if self.early is not None else size // 2)
            raise Dropped
        body = self.early if self.early is not None else self.rfile.read(size)
        if kind == "garbled":
            self._send(200, b"<html>Log in to this network</html>", {"Content-Type": "text/html"}, size)
            return
        if isinstance(kind, int):
            self._send(kind, json.dumps({"error": f"fault {kind}"}).encode(), {}, size)
            return
        if fault and kind == "kill" and not fault.carried_out:
            self._kill(fault)
        self.half = kind == "middle"
        try:
            with self.hub.lock:
                status, content, headers = self._route(body)
        except Refused as error:
            headers = {"X-Error-Code": error.code, "X-Error-Message": str(error)}
            status, content = error.status, json.dumps(error.body, separators=(",", ":")).encode()
        if fault and kind == "kill":
            self._kill(fault)
        if kind == "after":
            raise Dropped
        self._send(status, content, headers, size)

    def _kill(self, fault: Fault) -> None:
        assert fault.kill is not None
        fault.kill()
        raise Dropped

    def _send(self, status: int, content: bytes, headers: Mapping[str, str], size: int) -> None:
        self._note(status, size)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.half:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            raise Dropped
        self.wfile.write(content)

    def _note(self, status: int | str, size: int) -> None:
        self.hub.log.append(Request(self.command, self.path, status, size, dict(self.headers.items())))

    # What is asked

    def _route(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:  # noqa: PLR0911
        path = urlsplit(self.path).path
        if path == "/api/whoami-v2":
            return _json({"name": self._user(), "type": "user", "orgs": [], "auth": {}})
        if path == "/api/validate-yaml":
            return _validated(json.loads(body)["content"])
        if path == CREATE:
            return self._create(json.loads(body))
        if found := LARGE.fullmatch(path):
            return self._large(self.hub.repos[found["kind"], found["name"]], found["oid"], body)
        if found := LFS.fullmatch(path):
            return self._batch(self._repo(KINDS.get(found["kind"] or "", "model"), found["name"], write=True), json.loads(body))
        if found := RESOLVE.fullmatch(path):
            repo = self._repo(KINDS.get(found["kind"] or "", "model"), found["name"])
            return self._resolve(repo, unquote(found["rev"]), unquote(found["path"]))
        if found := API.fullmatch(path):
            rest = (found["rest"] or "").strip("/")
            action, _, rest = rest.partition("/")
            write = action in ("preupload", "commit", "tag")
            repo = self._repo(KINDS[found["kind"]], found["name"], write)
            return self._api(repo, action, rest, body)
        raise Refused(404, "NotFound", f"no such page: {path}")

    def _user(self, required: bool = True) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise Refused(401, "InvalidToken", "Invalid credentials in Authorization header")
        if required and not token:
            raise Refused(401, "NoToken", "Invalid username or password.")
        return self.hub.users.get(token)

    def _repo(self, kind: str, name: str, write: bool = False) -> Repo:
        user = self._user(required=write)
        repo = self.hub.repos.get((kind, name))
        if repo is None or (repo.private and user != name.split("/", maxsplit=1)[0]):
            raise Refused(404 if user else 401, "RepoNotFound", "Repository not found")
        if write and user != name.split("/", maxsplit=1)[0]:
            raise Refused(403, "Forbidden", f"You don't have the rights to write to {name}")
        return repo

    def _create(self, wish: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        kind = wish.get("type", "model")
        name = f"{wish.get('organization') or self._user()}/{wish['name']}"
        if self._user() != name.split("/", maxsplit=1)[0]:
            raise Refused(403, "Forbidden", f"You don't have the rights to create a {kind} under this namespace")
        url = f"{self.hub.url}/{'' if kind == 'model' else kind + 's/'}{name}"
        if any(taken == name for _, taken in self.hub.repos):
            raise Refused(409, "Conflict", "You already created this repo", url=url)
        private = wish.get("visibility") == "private" or bool(wish.get("private"))
        self.hub.repos[kind, name] = Repo(kind, name, private)
        return _json({"url": url, "name": name})

    def _api(self, repo: Repo, action: str, rest: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:  # noqa: PLR0911
        query = parse_qs(urlsplit(self.path).query)
        match action:
            case "" | "revision":
                return _json(_info(repo, self._commit(repo, unquote(rest) or "main")))
            case "refs":
                return _json({"branches": _refs(repo.heads, "heads"), "tags": _refs(repo.tags, "tags"), "converts": []})
            case "tree":
                revision, _, folder = rest.partition("/")
                recursive = query.get("recursive", [""])[0].lower() == "true"
                return _json(self._tree(repo, unquote(revision), unquote(folder), recursive))
            case "paths-info":
                paths = [path.strip("/") for path in parse_qs(body.decode()).get("paths", [])]
                return _json(_paths_info(self._commit(repo, unquote(rest)), paths))
            case "commits":
                commits = repo.history(self._commit(repo, unquote(rest)))
                return _json([{"id": one.oid, "title": one.title, "message": "", "authors": [], "date": DATE} for one in commits])
            case "preupload":
                return _json({"files": [_mode(self._commit(repo, unquote(rest)), file) for file in json.loads(body)["files"]]})
            case "xet-write-token" | "xet-read-token":
                return self._xet_token(repo, write=action == "xet-write-token")
            case "commit":
                return self._new_commit(repo, unquote(rest), body)
            case "tag":
                return self._tag(repo, self._commit(repo, unquote(rest)), json.loads(body)["tag"])
        raise Refused(404, "NotFound", f"no such action: {action}")

    def _commit(self, repo: Repo, revision: str) -> Commit:
        commit = repo.find(revision)
        if commit is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _tree(self, repo: Repo, revision: str, folder: str, recursive: bool) -> list[dict[str, object]]:
        entries = folder_entries(self._commit(repo, revision), folder.strip("/"), recursive)
        if entries is None:
            raise Refused(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        last = {"id": self._commit(repo, revision).oid, "title": "", "date": DATE}
        return [{**entry, "lastCommit": last} for entry in entries]

    def _new_commit(self, repo: Repo, branch: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        head = self._commit(repo, branch)
        files = dict(head.files)
        title = ""
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            match item["key"]:
                case "header":
                    title = value["summary"]
                    if value.get("parentCommit", head.oid) != head.oid:
                        raise Refused(412, "PreconditionFailed", "A commit has happened since. Please refresh and try again.")
                case "file":
                    content = base64.b64decode(value["content"])
                    files[value["path"]] = File(len(content), content=content)
                case "lfsFile":
                    if value["oid"] not in repo.large and not self.hub.take_from_xet(repo.name, value["oid"], value["size"]):
                        raise Refused(400, "BadRequest", f"LFS pointer pointed to a file that does not exist: {value['oid']}")
                    repo.large.add(value["oid"])
                    files[value["path"]] = File(value["size"], value["oid"])
                case "deletedFile":
                    del files[value["path"]]
                case "deletedFolder":
                    files = {path: file for path, file in files.items() if not path.startswith(value["path"].rstrip("/") + "/")}
        commit = repo.add(branch, title, files)
        return _json({"success": True, "commitOid": commit.oid, "commitUrl": f"{self.hub.url}/{repo.name}/commit/{commit.oid}"})

    def _tag(self, repo: Repo, commit: Commit, tag: str) -> tuple[int, bytes, dict[str, str]]:
        if tag in repo.tags:
            raise Refused(409, "Conflict", f"Tag reference exists already: {tag}")
        repo.tags[tag] = commit.oid
        return _json({})

    # Large files

    def _xet_token(self, repo: Repo, write: bool) -> tuple[int, bytes, dict[str, str]]:
        if self.hub.cas is None:
            raise Refused(404, "NotFound", "no Xet storage here")
        if write:
            self._repo(repo.kind, repo.name, write=True)
        url, token, end = f"local://{self.hub.xet_store(repo.name)}", "xet-token", 4_000_000_000
        status, content, headers = _json({"casUrl": url, "accessToken": token, "exp": end})
        xet = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(end)}
        return status, content, {**headers, **xet}

    def _batch(self, repo: Repo, wish: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        objects = []
        for one in wish["objects"]:
            missing = one["oid"] not in repo.large
            href = f"{self.hub.url}/large/{repo.kind}/{repo.name}/{one['oid']}"
            actions = {"upload": {"href": href, "header": {}}, "verify": {"href": f"{href}?verify"}}
            objects.append({**one, **({"actions": actions} if missing else {})})
        return _json({"transfer": "basic", "objects": objects})

    def _large(self, repo: Repo, oid: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """The address names the repository, so that its faults are met here too."""
        if self.command == "PUT":
            if hashlib.sha256(body).hexdigest() != oid:
                raise Refused(400, "BadDigest", "the content has another sha256")
            self.hub.large[oid] = body
            repo.large.add(oid)
            return 200, b"", {"ETag": f'"{oid}"'}
        if self.command == "POST":
            known = len(self.hub.large.get(oid, b"")) == json.loads(body)["size"]
            return _json({}) if known else (422, b"{}", {})
        return self._range(self.hub.large[oid], {"ETag": f'"{oid}"'})

    def _resolve(self, repo: Repo, revision: str, path: str) -> tuple[int, bytes, dict[str, str]]:
        commit = self._commit(repo, revision)
        file = commit.files.get(path)
        if file is None:
            raise Refused(404, "EntryNotFound", f"{path} does not exist on {revision}")
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        if file.sha256 is None:
            return self._range(file.content, {**headers, "ETag": f'"{file.oid}"'})
        linked = {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        if name := self.hub.xet.get(file.sha256):
            folder = "" if repo.kind == "model" else f"{repo.kind}s/"
            route = f"{self.hub.url}/api/{folder or 'models/'}{repo.name}/xet-read-token/{commit.oid}"
            linked |= {"X-Xet-Hash": name, "X-Xet-Refresh-Route": route}
        # Another origin, as a CDN is: else the client looks for X-Repo-Commit where it is not.
        return (
            302,
            b"",
            {**headers, **linked, "Location": f"http://localhost:{self.hub.port}/large/{repo.kind}/{repo.name}/{file.sha256}"},
        )

    def _range(self, content: bytes, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        wish = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if wish is None:
            return 200, content, headers
        first, last = wish[1], wish[2]
        start = int(first) if first else max(0, len(content) - int(last))
        stop = min(int(last) + 1, len(content)) if first and last else len(content)
        if start >= len(content):
            return 416, b"", {"Content-Range": f"bytes */{len(content)}"}
        return 206, content[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}


DATE = "2026-11-24T12:00:00.000Z"


def _validated(readme: str) -> tuple[int, bytes, dict[str, str]]:
    """As the Hub does, for one key of the front matter."""
    found = re.search(r"^license: (.*)$", readme.split("---\n")[1] if readme.startswith("---\n") else "", re.MULTILINE)
    if found is None or found[1] in LICENCES:
        return _json({"errors": [], "warnings": []})
    _, content, headers = _json({"errors": [{"message": f'"license" must be one of [{", ".join(LICENCES)}, …]'}], "warnings": []})
    return 400, content, headers


def _json(data: Any) -> tuple[int, bytes, dict[str, str]]:
    content = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    return 200, content, {"Content-Type": "application/json; charset=utf-8"}


def _info(repo: Repo, commit: Commit) -> dict[str, Any]:
    siblings = [{"rfilename": path, "size": file.size, "blobId": file.oid} for path, file in commit.files.items()]
    state = {"private": repo.private, "gated": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
    return {
        "id": repo.name,
        "_id": "1",
        "sha": commit.oid,
        "siblings": siblings,
        "lastModified": DATE,
        "createdAt": DATE,
        **state,
    }


def _refs(commits: Mapping[str, str], kind: str) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid} for name, oid in commits.items()]


def _paths_info(commit: Commit, paths: list[str]) -> list[dict[str, object]]:
    found = []
    for path in paths:
        if path in commit.files:
            found.append(commit.files[path].entry(path))
        elif folder_entries(commit, path, recursive=False):
            found.append(folder_entry(path))
    return [{**entry, "lastCommit": {"id": commit.oid, "title": commit.title, "date": DATE}} for entry in found]


def _mode(commit: Commit, file: dict[str, Any]) -> dict[str, Any]:
    name = file["path"]
    mode = "regular" if name.endswith(REGULAR) and file["size"] < 10_000_000 else "lfs"
    there = commit.files.get(name)
    return {"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": there.oid if there else None}
