"""groups: what the tables say becomes groups; what cannot be trained on is dropped with a reason or refused."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from fullstep_train.groups import (
    NOTHING_LABELLED,
    PAIR_LOST_A_SOLUTION,
    PROMPTS_DIFFER,
    labelled_groups,
    next_step_groups,
    passes,
    preference_groups,
    reject_rows,
)
from fullstep_train.tokens import TOO_LONG
from schemas import TABLES, InputError
from tests.fullstep_train.frames import Tables, make_tables

LONG = 2048


def prefer(tables: Tables, tokenizer: Any, max_length: int = LONG) -> Any:
    return preference_groups(tables.pairs, tables.solutions, tables.steps, tables.step_scores, tokenizer, max_length)


def changed(tables: Tables, **frames: pl.DataFrame) -> Tables:
    return Tables(**(vars(tables) | frames))


def test_a_group_is_a_problem_with_its_distinct_solutions_and_all_pairs(tiny_tokenizer: Any) -> None:
    tables = make_tables(problems=3, good=2, bad=2)
    groups, dropped = prefer(tables, tiny_tokenizer)
    assert dropped == []
    assert [len(group.solutions) for group in groups] == [4, 4, 4]
    named = {
        (group.solutions[won].solution_id, group.solutions[lost].solution_id)
        for group in groups
        for won, lost in group.pairs.tolist()
    }
    assert named == set(tables.pairs.select("chosen_id", "rejected_id").iter_rows())
    rewards = dict(tables.step_scores.group_by("solution_id", maintain_order=True).agg("reward").iter_rows())
    for group in groups:
        for solution in group.solutions:
            assert solution.values.tolist() == rewards[solution.solution_id]
            assert len(np.unique(solution.tokens.step_of_token)) == len(solution.values)


def test_the_order_of_rows_does_not_matter(tiny_tokenizer: Any) -> None:
    tables = make_tables()
    shuffled = Tables(**{name: frame.sample(fraction=1, shuffle=True, seed=3) for name, frame in vars(tables).items()})
    for one, other in zip(prefer(tables, tiny_tokenizer)[0], prefer(shuffled, tiny_tokenizer)[0], strict=True):
        assert one.problem_id == other.problem_id
        assert [solution.tokens.ids for solution in one.solutions] == [solution.tokens.ids for solution in other.solutions]
        assert np.array_equal(one.pairs, other.pairs)


def test_too_long_solutions_take_their_pairs_with_them(tiny_tokenizer: Any) -> None:
    tables = make_tables(problems=2)
    whole, _ = prefer(tables, tiny_tokenizer)
    lengths = {solution.solution_id: len(solution.tokens.ids) for group in whole for solution in group.solutions}
    longest = max(lengths.values())
    groups, dropped = prefer(tables, tiny_tokenizer, longest - 1)
    lost = {solution_id for solution_id, length in lengths.items() if length == longest}
    assert {key for table, key, reason in dropped if (table, reason) == ("solutions", TOO_LONG)} == lost
    kept = sum(len(group.pairs) for group in groups)
    assert kept + sum(reason == PAIR_LOST_A_SOLUTION for _, _, reason in dropped) == tables.pairs.height
    assert not TABLES["rejects"].violations(reject_rows("policy", dropped))


def test_pairs_over_two_prompts_are_dropped(tiny_tokenizer: Any) -> None:
    tables = make_tables(problems=1, good=1, bad=2)
    other = tables.pairs["rejected_id"][0]
    prompt = pl.when(pl.col("solution_id") == other).then(pl.lit("Other:\n")).otherwise("prompt").alias("prompt")
    groups, dropped = prefer(changed(tables, solutions=tables.solutions.with_columns(prompt)), tiny_tokenizer)
    assert dropped == [("pairs", tables.pairs["pair_id"][0], PROMPTS_DIFFER)]
    assert [len(group.pairs) for group in groups] == [1]


def test_no_pairs(tiny_tokenizer: Any) -> None:
    tables = make_tables()
    assert prefer(changed(tables, pairs=tables.pairs.clear()), tiny_tokenizer) == ([], [])


def test_next_steps_stand_after_their_prefix(tiny_tokenizer: Any) -> None:
    """Two wrong second steps against one right one: three texts, their first step in the context, no end token."""
    rows = make_tables(problems=1).step_pairs()
    (group,), dropped = next_step_groups(rows, tiny_tokenizer, 2048)
    row = rows.row(0, named=True)
    assert (len(group.solutions), group.pairs.tolist(), dropped) == (3, [[0, 1], [0, 2]], [])
    chosen = group.solutions[0].tokens
    assert tiny_tokenizer.decode(chosen.ids[: chosen.prompt_tokens]) == row["prompt"] + row["prefix"]
    assert tiny_tokenizer.decode(chosen.ids[chosen.prompt_tokens :]) == row["chosen"]
    assert set(chosen.step_of_token) == {0}
    ended, _ = next_step_groups(rows.with_columns(chosen_finished=True), tiny_tokenizer, 2048)
    assert ended[0].solutions[0].tokens.ids == (*chosen.ids, tiny_tokenizer.eos_token_id)


def test_next_steps_that_are_too_long_are_dropped_with_their_pair(tiny_tokenizer: Any) -> None:
    rows = make_tables(problems=1).step_pairs()
    long = rows.with_columns(rejected=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("again " * 200)).otherwise("rejected"))
    groups, dropped = next_step_groups(long, tiny_tokenizer, 100)
    assert [len(group.pairs) for group in groups] == [1]
    assert dropped == [("step_pairs", rows["step_pair_id"][0], TOO_LONG)]


def test_pairs_without_scores(tiny_tokenizer: Any) -> None:
    tables = make_tables()
    lost = tables.pairs["chosen_id"][0]
    with pytest.raises(InputError, match="pairs without step scores") as caught:
        prefer(changed(tables, step_scores=tables.step_scores.filter(pl.col("solution_id") != lost)), tiny_tokenizer)
    assert caught.value.count == 1
    assert list(caught.value.examples) == [lost]


def test_a_reward_that_is_not_a_number_names_its_solution(tiny_tokenizer: Any) -> None:
    tables = make_tables()
    row = pl.int_range(pl.len()) == 1
    scores = tables.step_scores.with_columns(reward=pl.when(row).then(float("nan")).otherwise("reward").cast(pl.Float32))
    with pytest.raises(InputError, match="not a number") as caught:
        prefer(changed(tables, step_scores=scores), tiny_tokenizer)
    assert caught.value.examples == [f"solution {scores['solution_id'][1]} step {scores['step_index'][1]}"]


def test_scores_of_another_scorer_do_not_count(tiny_tokenizer: Any) -> None:
    tables = make_tables()
    other = tables.step_scores.with_columns(scorer=pl.lit("other"), reward=pl.lit(0.0, pl.Float32))
    groups, _ = prefer(changed(tables, step_scores=pl.concat([other, tables.step_scores])), tiny_tokenizer)
    assert groups[0].solutions[0].values.max() > 0
    mixed = tables.pairs.with_columns(scorer=pl.Series([f"s{row % 2}" for row in range(tables.pairs.height)]))
    with pytest.raises(InputError, match="several scorers"):
        prefer(changed(tables, pairs=mixed), tiny_tokenizer)


def test_solutions_that_are_not_there(tiny_tokenizer: Any) -> None:
    tables = make_tables()
    with pytest.raises(InputError, match="no row"):
        prefer(changed(tables, solutions=tables.solutions.head(3)), tiny_tokenizer)


def test_scores_that_do_not_fit_the_steps(tiny_tokenizer: Any) -> None:
    tables = make_tables()
    with pytest.raises(InputError, match="one value per step"):
        prefer(changed(tables, step_scores=tables.step_scores.slice(1)), tiny_tokenizer)


def test_labelled_groups_take_every_solution_that_has_a_label(tiny_tokenizer: Any) -> None:
    tables = make_tables(problems=2)
    opened = tables.solutions["solution_id"][0]
    left_open = pl.when(pl.col("solution_id") == opened).then(None).otherwise("label").alias("label")
    labels = tables.step_labels.with_columns(left_open)
    groups, dropped = labelled_groups(tables.solutions, tables.steps, labels, tiny_tokenizer, LONG, "label")
    assert dropped == [("solutions", opened, NOTHING_LABELLED)]
    assert sum(group.labelled_steps for group in groups) == labels["label"].count()
    assert all(group.pairs.shape == (0, 2) for group in groups)
    soft = tables.step_labels.with_columns(value=pl.lit(0.25, pl.Float32))
    groups, _ = labelled_groups(tables.solutions, tables.steps, soft, tiny_tokenizer, LONG, "value")
    assert {float(value) for group in groups for solution in group.solutions for value in solution.values} == {0.25}


def test_two_labellers_are_one_too_many(tiny_tokenizer: Any) -> None:
    tables = make_tables()
    labels = pl.concat([tables.step_labels, tables.step_labels.with_columns(labeller=pl.lit("other"))])
    with pytest.raises(InputError, match="several labellers"):
        labelled_groups(tables.solutions, tables.steps, labels, tiny_tokenizer, LONG, "label")


@pytest.mark.parametrize(("finish_reason", "ends"), [("eos", True), ("stop", True), ("given", True), ("length", False)])
def test_only_finished_solutions_get_an_end_token(tiny_tokenizer: Any, finish_reason: str, ends: bool) -> None:
    groups, _ = prefer(make_tables(problems=1, finish_reason=finish_reason), tiny_tokenizer)
    assert {solution.tokens.ids[-1] == tiny_tokenizer.eos_token_id for solution in groups[0].solutions} == {ends}


def test_passes_go_through_all_groups_in_an_order_of_their_own(tiny_tokenizer: Any) -> None:
    groups, _ = prefer(make_tables(problems=8), tiny_tokenizer)
    order = passes(groups, 2.5, seed=0)
    assert sorted(order[:8]) == sorted(order[8:16]) == list(range(8))
    assert len(order) == 20
    assert order[:8] != order[8:16]
    assert order == passes(groups, 2.5, seed=0)
    assert order != passes(groups, 2.5, seed=1)
    assert len(passes(groups, 0.01, seed=0)) == 1
