"""The Full-Step-DPO release: rewards order the responses into pairs, step rewards become scores, and both go out again."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fullstep_data.formats.full_step_dpo import ReadOptions, WriteOptions, read, write
from fullstep_data.formats.group import Group, Left, Pair, Solution, Unusable
from tests.fullstep_data.formats.trips import export_records, golden, import_records, same

SHARE = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0])


def test_golden(tmp_path: Path):
    template = "Q: {question}\nA: Step 1: "
    version, report = import_records("full-step-dpo", golden("full-step-dpo"), tmp_path, template=template)
    assert report.rejected == {"not as many rewards as steps": 1}
    # Pairs: the first response over two, then 0.75 over 0.5.
    assert report.rows_out == {"problems": 2, "solutions": 5, "steps": 8, "step_scores": 8, "pairs": 3}
    assert set(version.frame("problems")["question"]) == {"What is 3 + 4?", "What is 2 * 2?"}
    assert sorted(version.frame("pairs")["margin"]) == [0.25, 1.0, 1.0]
    assert set(version.frame("step_scores")["scorer"]) == {"given:full-step-dpo"}
    records, written = export_records("full-step-dpo", version, tmp_path)
    assert same(records, golden("full-step-dpo")[:2])
    assert written.decisions == {}
    bare, _ = export_records("full-step-dpo", version, tmp_path, gold_answer=False)
    assert all("gold_answer" not in record for record in bare)


@given(st.lists(st.tuples(SHARE, SHARE), min_size=2, max_size=5))
def test_round_trip(rewards: list[tuple[float, float]]):
    texts = [f"a{place}\nStep 2: b" for place in range(len(rewards))]
    record = {"prompt": "Q Step 1: ", "responses": texts, "rewards": [whole for whole, _ in rewards]}
    record["rewards_list"] = [[step, step] for _, step in rewards]
    (group,) = read(record, ReadOptions())
    given_ = {(pair.chosen, pair.rejected) for pair in group.pairs}
    places = range(len(rewards))
    assert given_ == {(i, j) for i in places for j in places if rewards[i][0] > rewards[j][0]}
    prompted = tuple(Solution(one.steps, rewards=one.rewards, prompt=group.prompt) for one in group.solutions)
    told = list(write(Group(group.question, solutions=prompted, pairs=group.pairs), WriteOptions()))
    if not given_:
        assert told == [Left("the problem has no pairs")]
        return
    (back,) = told
    assert isinstance(back, dict)
    as_sets = [{text: (whole, steps[0]) for text, whole, steps in zip(*columns, strict=True)} for columns in (
        (record["responses"], record["rewards"], record["rewards_list"]),
        (back["responses"], back["rewards"], back["rewards_list"]),
    )]  # fmt: skip
    assert as_sets[0] == as_sets[1]  # every response is in a pair as soon as two rewards differ


def test_scores_that_do_not_order_become_1_and_0():
    solutions = tuple(Solution((f"Step 1: {text}",), rewards=(0.5,), prompt="p ") for text in "abc")
    pairs = (Pair(0, 1, 0.25, 0.5), Pair(0, 2, 0.25, 0.5))  # the chosen scores lower, as a PRM's mean may have it
    told, record = write(Group("Q", solutions=solutions, pairs=pairs), WriteOptions())
    assert told == Left("scores of whole responses became 1 and 0", kept=True)
    assert isinstance(record, dict)
    assert (record["prompt"], record["responses"], record["rewards"]) == ("p Step 1: ", ["a", "b", "c"], [1.0, 0.0, 0.0])


def test_what_cannot_be_written():
    solutions = tuple(Solution((text,), rewards=(0.5,), prompt="p") for text in "abc")

    def told(*pairs: Pair, of: tuple[Solution, ...] = solutions) -> list[object]:
        return list(write(Group("Q", solutions=of, pairs=pairs), WriteOptions()))

    assert told(Pair(0, 1), Pair(1, 2)) == [Left("no order of the responses gives just these pairs")]  # 0 > 1 > 2, not 0 > 2
    assert told(Pair(0, 1), of=(solutions[0], Solution(("b",), prompt="p"))) == [Left("a response has no step rewards")]
    other = Solution(("b",), rewards=(0.5,), prompt="q")
    assert told(Pair(0, 1), of=(solutions[0], other)) == [Left("the responses have different prompts")]


def test_the_template_cuts_the_question_out():
    record = {"prompt": "Q: 1 + 1?\nStep 1: ", "responses": ["2"], "rewards": [1]}
    assert next(read(record, ReadOptions())).question == "Q: 1 + 1?\nStep 1:"
    assert next(read(record, ReadOptions(template="Q: {question}\nStep 1: "))).question == "1 + 1?"
    with pytest.raises(Unusable, match="does not fit the template"):
        list(read(record, ReadOptions(template="P: {question}")))
    with pytest.raises(ValidationError, match="template has no"):
        ReadOptions(template="P")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rewards": ["1"]}, "rewards is not a list of numbers"),
        ({"rewards": [1, 2]}, "not as many rewards as responses"),
        ({"rewards_list": [["x"]]}, "not a list of lists of numbers"),
        ({"rewards_list": [[0.5, 0.5]]}, "not as many rewards as steps"),
    ],
)
def test_faulty_records(change: dict[str, object], reason: str):
    with pytest.raises(Unusable, match=reason):
        list(read({"prompt": "Q", "responses": ["a"], "rewards": [1], **change}, ReadOptions()))
