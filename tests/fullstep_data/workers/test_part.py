import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from fullstep_data.plan import InputPart, Planned, plan
from fullstep_data.stage import Read, no_tick
from fullstep_data.store import Store, Version
from fullstep_data.store.version import part_path
from fullstep_data.workers.part import Job, Toolbox, input_frames, make_part
from schemas import TABLES, InputError
from tests.fullstep_data.small_chain import STAGES, Generator, Recipe

SAMPLES = STAGES[1]
NO_FOLDERS: Mapping[str, Path] = {}


def planned_samples(version: Version) -> list[Planned]:
    """The parts of the stage `samples` over the problems of a version."""
    table = version.tables["problems"]
    problems = [InputPart("problems", part.key, part.slice, file) for part, file in zip(table.parts, table.stored, strict=True)]
    return plan(SAMPLES, Recipe(), {"problems": problems}, {"generator": "toy"})


def job_in(store: Path) -> Job:
    return Job(store, SAMPLES, Recipe(), {"generator": Generator()}, NO_FOLDERS)


def test_a_part_is_the_file_that_a_run_writes_also_after_its_job_went_through_a_pipe(dataset: Version, tmp_path: Path):
    store = Store.create(tmp_path / "other")
    job: Job = pickle.loads(pickle.dumps(job_in(store.path).portable()))
    for planned, part in zip(planned_samples(dataset), dataset.tables["samples"].parts, strict=True):
        made = make_part(job, pickle.loads(pickle.dumps(planned)), Toolbox().opened, no_tick)
        assert made == part.model_copy(update={"slice": made.slice, "parents": ()})
        written = part_path(store.path, "samples", made.key).read_bytes()
        assert written == part_path(dataset.path, "samples", made.key).read_bytes()


def test_a_stage_goes_to_another_process_without_what_only_planning_needs():
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(Job(Path(), lambda_stage(), None, {}, NO_FOLDERS))
    sent: Job = pickle.loads(pickle.dumps(Job(Path(), lambda_stage(), None, {}, NO_FOLDERS).portable()))
    assert sent.stage.run is SAMPLES.run
    with pytest.raises(AssertionError, match="with the job"):
        sent.stage.config(Recipe())


def lambda_stage():
    return replace(SAMPLES, config=lambda recipe: recipe)


def test_no_tool_is_opened_for_a_part_whose_input_was_altered(dataset: Version):
    planned = planned_samples(dataset)[0]
    dataset.tables["problems"].stored[0].path.write_bytes(b"other")
    job = job_in(dataset.path)
    with pytest.raises(InputError, match="altered"):
        make_part(job, planned, Toolbox().opened, no_tick)
    assert job.tools["generator"].opened == 0


def test_every_read_gets_its_rows_whether_it_has_many_parts_or_none(dataset: Version):
    problems, samples = (
        [InputPart(name, part.key, part.slice, file) for part, file in zip(table.parts, table.stored, strict=True)]
        for name, table in ((name, dataset.tables[name]) for name in ("problems", "samples"))
    )
    assert len(samples) > len(problems) > 1
    reads = (Read("samples"), Read("problems", columns=("problem_id",)), Read("steps"), Read("samples", where="sample_index = 0"))
    stage = replace(SAMPLES, reads=reads)
    whole, ids, steps, first = input_frames(stage, (samples, problems, (), samples))
    assert whole.equals(dataset.frame("samples"))
    assert ids.equals(dataset.frame("problems").select("problem_id"))
    assert steps.equals(TABLES["steps"].empty())
    assert first.equals(whole.filter(sample_index=0))
    assert 0 < first.height < whole.height


@dataclass
class Closing:
    """A tool that counts."""

    events: list[str] = field(default_factory=list)

    def identity(self, models: Mapping[str, Path]) -> str:
        return ""

    def open(self, models: Mapping[str, Path]) -> "Closing":
        self.events.append("open")
        return self

    def close(self) -> None:
        self.events.append("close")


def test_a_tool_is_opened_once_and_closed_when_nobody_needs_it():
    one, other, toolbox = Closing(), Closing(), Toolbox()
    both = Job(Path(), SAMPLES, None, {"one": one, "other": other}, NO_FOLDERS)
    assert toolbox.opened(both) == {"one": one, "other": other}
    assert toolbox.opened(both) == {"one": one, "other": other}
    toolbox.close(still_needed={"other"})
    assert (one.events, other.events) == (["open", "close"], ["open"])
    toolbox.close()
    toolbox.close()
    assert (one.events, other.events) == (["open", "close"], ["open", "close"])
