"""One commit, then the tag: readers by tag see the whole version or nothing, whatever happens at whichever request."""

from pathlib import Path

import pytest

from fullstep_data.store import Version
from tests.fullstep_data.small_chain import Recipe, build
from tests.hub_server import Fault, Hub, environment
from tests.hub_server.cases import KINDS, Case, Command, cases, in_parallel
from tests.hub_server.fixtures import OTHER_TOKEN, TOKEN
from tests.hub_server.forks import Forks
from tests.hub_server.repos import File, Repo

PUSH = "fs-data push dataset {repo} --tag v1 --tables problems,pairs"
SMALL = Recipe(problems=4, samples=2, problems_per_part=8)


def uploads(hub: Hub, since: int) -> list[str]:
    """Large files that were sent."""
    return [one.path for one in hub.log[since:] if one.method == "PUT"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small dataset."""
    folder = tmp_path_factory.mktemp("place")
    build(folder / "dataset", SMALL)
    return folder


@pytest.fixture
def command(hub: Hub, forks: Forks, place: Path) -> Command:
    return Command(hub, forks, place, PUSH)


def state(hub: Hub, repo: str) -> str:
    """What a reader by tag sees: "nothing" or "all"; fails on anything between. Never more than one commit of ours."""
    found = hub.repos.get(("dataset", repo))
    if found is None:
        return "nothing"
    assert len(found.commits) <= 2, [commit.title for commit in found.commits.values()]
    if "v1" not in found.tags:
        return "nothing"
    assert sorted(found.commits[found.tags["v1"]].files) == sorted([".gitattributes", "README.md", *EXPECTED]), "half a version"
    for path in found.commits[found.tags["v1"]].files:
        hub.read("dataset", repo, path, "v1")  # every large file is there
    return "all"


EXPECTED: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def clean(hub: Hub, forks: Forks, place: Path) -> int:
    """The number of requests of an undisturbed push; fills EXPECTED."""
    before = len(hub.log)
    done = forks.run(PUSH.format(repo="ann/clean"), place)
    assert done.status == 0, done.errors
    requests = len(hub.log) - before
    EXPECTED[:] = [path for path in hub.repos["dataset", "ann/clean"].main.files if path not in (".gitattributes", "README.md")]
    assert {path.split("/")[0] for path in EXPECTED} == {"parts", "versions", "views.sql"}
    return requests


def test_a_push_is_one_commit_and_one_tag(command, hub, repo):
    done = command.run(None, repo, repo=repo)
    assert done.status == 0, done.errors
    assert state(hub, repo) == "all"
    told = [line for line in done.errors.splitlines() if line.startswith("push: ")]
    assert [line.split()[1] for line in told] == ["look", "send", "set", "read"]
    lines = hub.lines(repo)
    assert sum("/commit/main" in line for line in lines) == 1
    assert sum("/tag/" in line for line in lines) == 1
    assert next(place for place, line in enumerate(lines) if "/tag/" in line) > next(
        place for place, line in enumerate(lines) if "/commit/main" in line
    )


def test_the_same_version_again_is_nothing_to_do(command, hub, repo):
    command.run(None, repo, repo=repo)
    before = len(hub.log)
    done = command.run(None, repo, repo=repo)
    assert done.status == 0
    assert "nothing to do" in done.output
    assert {one.method for one in hub.log[before:]} <= {"GET", "HEAD"}


def test_a_tag_never_moves_and_the_error_says_what_differs(command, hub, repo):
    command.run(None, repo, repo=repo)
    commit = hub.repos["dataset", repo].tags["v1"]
    other = Command(hub, command.forks, command.cwd, PUSH.replace("problems,pairs", "problems,solutions"))
    done = other.run(None, repo, repo=repo)
    assert done.status == 2
    assert "tag v1 names something else already" in done.errors
    assert "table pairs is only there" in done.errors
    assert "table solutions is only here" in done.errors
    assert hub.repos["dataset", repo].tags == {"v1": commit}


def test_the_same_version_under_another_tag_sends_only_the_card(command, hub, repo):
    command.run(None, repo, repo=repo)
    before = len(hub.log)
    line = PUSH.format(repo=repo).replace("v1", "final") + " --license mit"
    done = command.forks.run(line, command.cwd)
    assert done.status == 0, done.errors
    assert "1 file sent" in done.output
    assert uploads(hub, before) == []
    assert b"Tag `v1`" in hub.read("dataset", repo, "README.md", "v1")
    assert b"Tag `final`" in hub.read("dataset", repo, "README.md", "final")
    assert b"license: mit" in hub.read("dataset", repo, "README.md", "final")


def test_a_later_version_sends_only_what_is_new(hub, forks, tmp_path, repo):
    own = SMALL.model_copy(update={"words": 7})  # texts of no other test: large files are shared between repositories
    build(tmp_path / "dataset", own)
    assert forks.run(f"fs-data push dataset {repo} --tag v1", tmp_path).status == 0
    first = hub.repos["dataset", repo].main
    build(tmp_path / "dataset", own.model_copy(update={"samples": 4}))
    before = len(hub.log)
    done = forks.run(f"fs-data push dataset {repo} --tag v2", tmp_path)
    assert done.status == 0, done.errors
    second = hub.repos["dataset", repo].main
    known = {file.sha256 for file in first.files.values()}
    new = {file.sha256 for file in second.files.values() if file.sha256} - known
    assert {path.rpartition("/")[2] for path in uploads(hub, before)} == new
    kept = [path for path in second.files if path.startswith("parts/") and path in first.files]
    assert kept, "parts of the first version are in the second"
    gone = [path for path in first.files if path not in second.files]
    assert "versions/000001.json" in gone
    assert "versions/000002.json" in second.files
    assert hub.repos["dataset", repo].commits[hub.repos["dataset", repo].tags["v1"]] == first


def test_two_pushes_with_one_head_end_in_one_after_the_other(command, hub, repo):
    """Somebody commits between our look at the head and our commit (412): the next try stands on their commit."""
    hub.users.setdefault(TOKEN, "ann")
    command.run(None, repo, repo=repo)
    published = hub.repos["dataset", repo]
    published.tags.clear()
    readme = File(4, content=b"Mine")
    published.add(
        "main", "a new readme", {**published.main.files, "README.md": readme, "versions/000001.json": File(2, content=b"{}")}
    )
    hub.faults[repo] = Fault(412, "/commit/main")
    done = command.forks.run(PUSH.format(repo=repo), command.cwd)
    assert done.status == 0, done.errors
    assert hub.read("dataset", repo, "README.md", "v1").startswith(b"---\n")
    assert b"\nMine\n" in hub.read("dataset", repo, "README.md", "v1")


def check(hub: Hub, forks: Forks, place: Path, case: Case, repo: str) -> None:
    """One fault, then what a reader sees; then the command again."""
    command = Command(hub, forks, place, PUSH)
    done = command.run(case, repo, repo=repo)
    assert "Traceback" not in done.errors, done.errors[-1500:]
    assert TOKEN not in done.output + done.errors
    seen = state(hub, repo)
    assert done.status in ((0, 2) if not str(case.kind).startswith("kill") else (0, -9)), done
    assert seen == "all" or done.status != 0, "a push that says it is done is done"
    again = command.run(None, repo, repo=repo)
    assert again.status == 0, again.errors
    assert state(hub, repo) == "all"


REPRESENTATIVE = (
    *(Case(kind, "/commit/main") for kind in ("before", "after", "garbled", 503, 412, "kill before", "kill after")),
    *(Case(kind, "/tag/") for kind in ("after", "garbled", 409, "kill before", "kill after")),
    *(Case(kind, "/repos/create") for kind in ("after", "garbled", 403, 409)),
    *(Case(kind, "/preupload/") for kind in ("garbled", 401, 429)),
)


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=str)
def test_a_fault_leaves_nothing_or_all_and_a_second_call_completes(case, hub, forks, place, repo):
    check(hub, forks, place, case, repo)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_fault_at_every_request(hub, place, tmp_path, clean):
    """Counted in the print: kinds of faults x requests of a push."""
    total = in_parallel(
        environment(hub, tmp_path, TOKEN),
        cases(clean),
        lambda forks, case, number: check(hub, forks, place, case, f"ann/fault{number}x"),
    )
    print(f"{total} faults at {clean} requests")
    assert total == clean * len(KINDS)


def test_a_lasting_fault_is_told_and_leaves_nothing(command, hub, repo):
    hub.faults[repo] = Fault(503, "/commit/main", lasting=True)
    done = command.forks.run(PUSH.format(repo=repo), command.cwd)
    del hub.faults[repo]
    assert done.status == 2
    assert "status 503" in done.errors
    assert state(hub, repo) == "nothing"


@pytest.mark.parametrize(
    ("token", "says", "next_step"),
    [
        ("", "there is no token to write to the Hub with", "hf auth login"),
        ("hf_wrongwrongwrong", "the Hub does not accept the token", "HF_TOKEN"),
        (OTHER_TOKEN, "the token may not do this", "repository of your own"),
    ],
)
def test_tokens(token, says, next_step, command, hub, repo):
    done = command.forks.run(PUSH.format(repo=repo), command.cwd, HF_TOKEN=token)
    assert done.status == 2, done.errors
    assert says in done.errors
    assert next_step in done.errors
    assert "hf_" not in done.errors
    assert ("dataset", repo) not in hub.repos


def test_no_network_is_told_at_once(place, hub, tmp_path, repo):
    deaf = Forks({**environment(hub, tmp_path, TOKEN), "HF_ENDPOINT": "http://127.0.0.1:9"})  # nobody listens at `discard`
    try:
        done = deaf.run(PUSH.format(repo=repo), place)
    finally:
        deaf.close()
    assert done.status == 2
    assert "the Hub cannot be reached" in done.errors
    assert "check the network" in done.errors


def test_a_name_that_is_a_model(command, hub, repo):
    hub.repos["model", repo] = Repo("model", repo, private=False)
    done = command.run(None, repo, repo=repo)
    assert done.status == 2
    assert f"{repo} is a model on the Hub, not a dataset" in done.errors


def test_a_repository_of_other_files_is_left_alone(command, hub, repo):
    other = Repo("dataset", repo, private=False)
    other.add("main", "mine", {"train.csv": File(3, content=b"a,b")})
    hub.repos["dataset", repo] = other
    done = command.run(None, repo, repo=repo)
    assert done.status == 2
    assert "holds files that are not of a dataset of fullstep" in done.errors
    assert "train.csv" in done.errors
    assert len(other.commits) == 2


def test_a_readme_that_cannot_be_read_is_not_lost(command, hub, repo):
    mine = Repo("dataset", repo, private=False)
    mine.add("main", "mine", {"README.md": File(3, content=b"\xff\xfe!")})
    hub.repos["dataset", repo] = mine
    done = command.run(None, repo, repo=repo)
    assert done.status == 2
    assert "is not UTF-8 text" in done.errors
    assert len(mine.commits) == 2


def test_private_is_kept(command, hub, repo):
    line = PUSH.format(repo=repo) + " --private"
    assert command.forks.run(line, command.cwd).status == 0
    assert hub.repos["dataset", repo].private
    hub.repos["dataset", repo].private = False
    done = command.forks.run(line.replace("v1", "v2"), command.cwd)
    assert done.status == 2
    assert "the repository is public, and --private was asked for" in done.errors


def test_a_rival_that_makes_the_repository_public_gets_nothing_private(command, hub, repo):
    """Somebody creates it between our look and our request, which is dropped and then answered with 409."""
    rival = Repo("dataset", repo, private=False)
    hub.faults[repo] = Fault("kill", "/repos/create", kill=lambda: hub.repos.update({("dataset", repo): rival}))
    done = command.forks.run(PUSH.format(repo=repo) + " --private", command.cwd)
    assert done.status == 2
    assert "the repository is public, and --private was asked for" in done.errors
    assert len(rival.commits) == 1


def test_a_page_in_place_of_the_hub_is_told(command, hub, repo):
    """As a hotel's login page answers everything."""
    hub.faults[repo] = Fault("garbled", lasting=True)
    done = command.forks.run(PUSH.format(repo=repo), command.cwd)
    del hub.faults[repo]
    assert done.status == 2
    assert "the Hub's client (huggingface_hub" in done.errors
    assert "a proxy, a login page" in done.errors
    assert "JSONDecodeError" in done.errors
    assert ("dataset", repo) not in hub.repos


def test_a_licence_that_the_hub_does_not_know_is_told_with_those_it_knows(command, hub, repo):
    done = command.forks.run(PUSH.format(repo=repo) + " --license nonsense", command.cwd)
    assert done.status == 2
    assert "does not accept the front matter of the card" in done.errors
    assert "must be one of [mit, apache-2.0" in done.errors
    assert "--license" in done.errors
    assert state(hub, repo) == "nothing"


def test_a_damaged_part_is_not_published(hub, forks, dataset: Version, repo):
    part = dataset.files("problems")[0]
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    done = forks.run(f"fs-data push {dataset.path} {repo} --tag v1", dataset.path)
    assert done.status == 2
    assert "truncated or altered" in done.errors
    assert ("dataset", repo) not in hub.repos
