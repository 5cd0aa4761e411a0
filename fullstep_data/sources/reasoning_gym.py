"""Problems made by reasoning-gym: 106 generators of puzzles and sums, offline, fixed by a seed (extra `demo`).

    read_reasoning_gym(ReasoningGymSource(tasks=(Task(name="chain_sum", size=100, options={"max_terms": 3}),), seed=0))

Item i of a task does not depend on its size, so a larger size adds problems and keeps those there were.
"""

import dataclasses
import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fullstep_data.config import ReasoningGymSource, Task
from fullstep_data.sources.columns import Candidate, as_text
from schemas import InputError

_OWN = ("seed", "size")  # of the generators' options, these two have their own place in the recipe


def read_reasoning_gym(source: ReasoningGymSource) -> list[Candidate]:
    """The problems of every task, in order; gold answers as the generator states them. InputError: no such task or option."""
    try:
        from reasoning_gym import create_dataset  # two seconds of imports that only this source needs
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        next_step = 'pip install "fullstep[demo]"'
        raise InputError("problems from reasoning-gym need the package reasoning-gym", next_step=next_step) from error

    found: list[Candidate] = []
    keys = _task_keys(source.tasks)
    for task, task_key in zip(source.tasks, keys, strict=True):
        _check(task, DATASETS)
        try:
            items = create_dataset(task.name, size=task.size, seed=source.seed, **task.options)
            for index in range(task.size):
                item = items[index]
                key = f"{task_key}/{index + 1}" if len(keys) > 1 else str(index + 1)
                found.append(_candidate(task, index, key, item))
        except (AssertionError, TypeError, ValueError) as error:
            where = f"reasoning-gym task {task.name}, options {task.options}"
            next_step = "change the options; their meaning: " + f"reasoning_gym's {DATASETS[task.name][1].__name__}"
            raise InputError(f"the generator refuses its options: {error}", where=where, next_step=next_step) from error
    return found


def _candidate(task: Task, index: int, key: str, item: dict[str, Any]) -> Candidate:
    return Candidate(
        key=key,
        question=as_text(item["question"]),
        answer=as_text(item["answer"]),
        reference_solution=None,
        source=f"reasoning-gym/{task.name}",
        source_row=str(index),
    )


def _task_keys(tasks: Sequence[Task]) -> list[str]:
    """A name for each task in the keys of rejects: `chain_sum`, and `chain_sum#2` where one generator is used again."""
    seen: Counter[str] = Counter()
    keys: list[str] = []
    for task in tasks:
        seen[task.name] += 1
        keys.append(task.name if seen[task.name] == 1 else f"{task.name}#{seen[task.name]}")
    return keys


def _check(task: Task, datasets: dict[str, Any]) -> None:
    if task.name not in datasets:
        next_step = _near(task.name, list(datasets)) or "names: python -c 'import reasoning_gym.factory as f; print(*f.DATASETS)'"
        raise InputError("reasoning-gym has no such task", where=f"task {task.name!r}", next_step=next_step)
    options = [field.name for field in dataclasses.fields(datasets[task.name][1]) if field.name not in _OWN]
    unknown = [name for name in task.options if name not in options]
    if unknown:
        what = f"the reasoning-gym task {task.name} has no option {', '.join(map(repr, unknown))}"
        next_step = _near(unknown[0], options) or f"options: {', '.join(options)}"
        raise InputError(what, where=f"task {task.name!r}", count=len(unknown), next_step=next_step)


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""
