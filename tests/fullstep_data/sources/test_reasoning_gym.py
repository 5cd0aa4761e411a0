"""reasoning-gym: seeded, growing keeps what was there, and mistakes are told with the nearest names."""

import sys
from typing import Any

import pytest

from fullstep_data.config import ReasoningGymSource, Task
from fullstep_data.sources import read
from schemas import InputError

pytest.importorskip("reasoning_gym", reason='pip install "fullstep[demo]"')


def source(*tasks: Task, seed: int = 1) -> ReasoningGymSource:
    return ReasoningGymSource(tasks=tasks, seed=seed)


def sums(size: int, **options: Any) -> Task:
    return Task(name="chain_sum", size=size, options={"min_terms": 2, "max_terms": 3, **options})


def test_problems_are_fixed_by_seed_and_index() -> None:
    few, many = read(source(sums(3))), read(source(sums(9)))
    assert few == many[:3]
    assert few != read(source(sums(3), seed=2))
    assert [item.source_row for item in few] == ["0", "1", "2"]
    assert {item.source for item in few} == {"reasoning-gym/chain_sum"}
    for item in many:
        expression = (item.question or "").rpartition(":")[2].removesuffix("=")
        assert str(eval(expression)) == item.answer


def test_keys_differ_between_tasks_even_of_one_generator() -> None:
    keys = [item.key for item in read(source(sums(2), Task(name="basic_arithmetic", size=1), sums(1, max_terms=5)))]
    assert keys == ["chain_sum/1", "chain_sum/2", "basic_arithmetic/1", "chain_sum#2/1"]


@pytest.mark.parametrize(
    ("task", "what", "next_step"),
    [
        (Task(name="chain_sums", size=1), "no such task", "did you mean 'chain_sum'"),
        (Task(name="qqq", size=1), "no such task", "DATASETS"),
        (sums(1, max_term=3), "no option 'max_term'", "did you mean 'max_terms'"),
        (Task(name="chain_sum", size=1, options={"size": 3}), "no option 'size'", ""),
        (sums(1, min_terms=5, max_terms=2), "refuses its options", "ChainSumConfig"),
        (sums(1, min_terms="two"), "refuses its options", "ChainSumConfig"),
    ],
)
def test_mistakes_are_the_user_s_errors(task: Task, what: str, next_step: str) -> None:
    with pytest.raises(InputError) as caught:
        read(source(task))
    assert what in caught.value.what
    assert next_step in caught.value.next_step


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)  # Python's own way to say that a package is not there
    with pytest.raises(InputError) as caught:
        read(source(sums(1)))
    assert caught.value.next_step == 'pip install "fullstep[demo]"'
