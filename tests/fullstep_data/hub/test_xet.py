"""The same through Xet storage: the client's hf_xet cuts files into chunks, and no file goes through our HTTP server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fullstep_data.check import check
from fullstep_data.store import open_version
from tests.fullstep_data.small_chain import STAGES, Recipe, build
from tests.hub_server import Fault, Hub, environment, running
from tests.hub_server.cases import KINDS, Case, Command, cases, in_parallel
from tests.hub_server.fixtures import TOKEN
from tests.hub_server.forks import Forks


@pytest.fixture(scope="module")
def xet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Forks]]:
    """A Hub with Xet storage, and clients that use it."""
    home = tmp_path_factory.mktemp("xet")
    with running() as hub:
        hub.users[TOKEN] = "ann"
        hub.cas = home / "cas"
        hub.cas.mkdir()
        forks = Forks(environment(hub, home, TOKEN, HF_HUB_DISABLE_XET="0"))
        yield hub, forks
        forks.close()


def test_two_versions_there_and_back(xet: tuple[Hub, Forks], tmp_path: Path):
    hub, forks = xet
    for tag, samples in (("v1", 2), ("v2", 4)):
        build(tmp_path / "dataset", Recipe(samples=samples))
        done = forks.run(f"fs-data push dataset ann/sums --tag {tag}", tmp_path)
        assert done.status == 0, done.errors
    assert not [one for one in hub.log if one.method == "PUT"]
    assert any("/xet-write-token/" in one.path for one in hub.log)
    for tag in ("v1", "v2"):
        done = forks.run(f"fs-data pull ann/sums@{tag} --out copy", tmp_path)
        assert done.status == 0, done.errors
        version = open_version(f"{tmp_path / 'copy'}@{tag}")
        original = open_version(f"{tmp_path / 'dataset'}@{tag.removeprefix('v')}")
        assert check(version, STAGES) == []
        assert all(version.frame(name).equals(original.frame(name)) for name in version.manifest.tables)
    assert not [one for one in hub.log if one.path.startswith("/large/")]
    assert any("/xet-read-token/" in one.path for one in hub.log)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("before", "/xet-write-token/"),
        Fault(503, "/xet-write-token/"),
        Fault("after", "/commit/main"),
        Fault(412, "/commit/main"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.at}",
)
def test_a_fault_and_the_command_again(fault: Fault, xet: tuple[Hub, Forks], tmp_path: Path):
    hub, forks = xet
    build(tmp_path / "dataset", Recipe(problems=3, samples=2))
    repo = f"ann/{fault.kind}-{str(fault.at).strip('/').replace('/', '-')}"
    hub.faults[repo] = fault
    done = forks.run(f"fs-data push dataset {repo} --tag v1", tmp_path)
    hub.faults.clear()
    assert "Traceback" not in done.errors, done.errors
    found = hub.repos["dataset", repo]
    assert done.status == 0 or "v1" not in found.tags
    assert forks.run(f"fs-data push dataset {repo} --tag v1", tmp_path).status == 0
    assert len(found.commits) == 2
    assert all(file.sha256 is None or file.sha256 in hub.large for file in found.main.files.values())


def check_case(hub: Hub, forks: Forks, folder: Path, case: Case, repo: str, paths: set[str]) -> None:
    """One fault at a push, then what a reader by tag sees; then the push again, and a pull through Xet."""
    command = Command(hub, forks, folder, "fs-data push dataset {repo} --tag v1")
    done = command.run(case, repo, repo=repo)
    assert "Traceback" not in done.errors, done.errors[-1500:]
    assert TOKEN not in done.output + done.errors
    found = hub.repos.get(("dataset", repo))
    tagged = found is not None and "v1" in found.tags
    if found is not None and tagged:
        assert set(found.commits[found.tags["v1"]].files) == paths, "half a version"
    assert tagged or done.status != 0, "a push that says it is done is done"
    again = command.run(None, repo, repo=repo)
    assert again.status == 0, again.errors
    assert len(hub.repos["dataset", repo].commits) == 2
    out = folder / repo.rpartition("/")[2]
    pulled = forks.run(f"fs-data pull {repo}@v1 --out {out}", folder)
    assert pulled.status == 0, pulled.errors
    assert check(open_version(f"{out}@v1"), STAGES) == []


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_fault_at_every_request(xet: tuple[Hub, Forks], tmp_path: Path):
    hub, forks = xet
    build(tmp_path / "dataset", Recipe(problems=4, samples=2, problems_per_part=8))
    before = len(hub.log)
    assert forks.run("fs-data push dataset ann/clean --tag v1", tmp_path).status == 0
    requests = len(hub.log) - before
    paths = set(hub.repos["dataset", "ann/clean"].main.files)
    total = in_parallel(
        environment(hub, tmp_path, TOKEN, HF_HUB_DISABLE_XET="0"),
        cases(requests),
        lambda forks, case, number: check_case(hub, forks, tmp_path, case, f"ann/fault{number}x", paths),
    )
    print(f"{total} faults at {requests} requests")
    assert total == requests * len(KINDS)
