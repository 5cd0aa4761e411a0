from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fullstep_data.stage import Outcome
from fullstep_data.store import Version
from fullstep_data.workers import worker as worker_module
from fullstep_data.workers.worker import Broken, Made, Refused, Ticked, Worker
from schemas import ContractError, InputError
from tests.fullstep_data.small_chain import Generator
from tests.fullstep_data.workers.chain import Absent, failing, losing, refusing
from tests.fullstep_data.workers.test_part import SAMPLES, job_in, planned_samples


def said(version: Version, host: str | None = None, told: list[Ticked] | None = None, **changes: Any) -> Any:
    """What a worker says to the first part of `samples`. changes: of the stage; generator: another tool."""
    worker = Worker(host)
    job = job_in(version.path)
    tools = {"generator": changes.pop("generator", Generator())}
    worker.begin(replace(job, tools=tools, stage=replace(SAMPLES, **changes)))
    return worker.make(planned_samples(version)[0], (told if told is not None else []).append)


def test_a_part_is_made_and_told(dataset: Version):
    made = said(dataset)
    assert isinstance(made, Made)
    assert made.part.key == dataset.tables["samples"].parts[0].key


@pytest.mark.parametrize(("host", "where"), [(None, "the sky"), ("node-7", "the sky, worker on node-7")])
def test_a_refusal_arrives_as_the_error_that_it_was(dataset: Version, host: str | None, where: str):
    refused = said(dataset, host, run=partial(refusing, SAMPLES.run))
    assert isinstance(refused, Refused)
    error = refused.error()
    assert error == InputError("the moon is full", where, 3, ["a", "2"], "wait")
    assert type(error) is InputError


def test_a_broken_promise_stays_one(dataset: Version):
    refused = said(dataset, run=partial(losing, SAMPLES.run))
    assert isinstance(refused, Refused)
    assert type(refused.error()) is ContractError
    assert "lost rows of problems" in refused.error().what


def test_a_fault_keeps_its_traceback(dataset: Version):
    broken = said(dataset, run=partial(failing, SAMPLES.run))
    assert isinstance(broken, Broken)
    assert "ZeroDivisionError: a fault" in broken.trace
    assert "chain.py" in broken.trace


def test_a_tool_that_another_machine_lacks_is_the_users_to_mend_and_here_a_fault(dataset: Version):
    there = said(dataset, "node-7", generator=Absent())
    assert isinstance(there, Refused)
    assert there.error().what == "a worker cannot open generator: OSError: no file named model.safetensors"
    assert "node-7" in there.error().where
    assert "every machine" in there.error().next_step
    assert isinstance(said(dataset, generator=Absent()), Broken)


def test_ticks_are_fractions_and_few(dataset: Version, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_module, "TICK_SECONDS", 3600.0)
    told: list[Ticked] = []
    assert isinstance(said(dataset, told=told, run=ticking), Made)
    assert told == [Ticked(0.25, "412 tokens/s")]
    monkeypatch.setattr(worker_module, "TICK_SECONDS", 0.0)
    told.clear()
    said(dataset, told=told, run=ticking)
    assert [tick.fraction for tick in told] == [0.25, 0.5, 1.0]


def ticking(given: Any, context: Any) -> Outcome:
    for done in (1, 2, 4):
        context.tick(done, 4, "412 tokens/s")
    return SAMPLES.run(given, context)


def test_what_the_next_job_does_not_need_is_closed(dataset: Version, tmp_path: Path):
    closed: list[str] = []

    class Opened(Generator):
        def open(self, models: Any) -> Any:
            return Word("toy")

    class Word(str):
        def close(self) -> None:
            closed.append(str(self))

    worker = Worker()
    job = replace(job_in(dataset.path), tools={"generator": Opened()})
    for _ in range(2):
        worker.begin(job)
        assert isinstance(worker.make(planned_samples(dataset)[0], lambda ticked: None), Made)
    assert closed == []
    worker.begin(replace(job, tools={}))
    assert closed == ["toy"]
