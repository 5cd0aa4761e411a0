"""TRL preference: texts and conversations, pairs that share solutions, scores where they are there."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.formats.group import Group, Left, Pair, Solution, Unusable
from fullstep_data.formats.trl_preference import ReadOptions, WriteOptions, read, write
from tests.fullstep_data.formats.trips import export_records, golden, import_records, same

TEXT = st.text(min_size=1, max_size=30).filter(lambda text: text.strip() != "")


def test_golden(tmp_path: Path):
    version, report = import_records("trl-preference", golden("trl-preference"), tmp_path)
    # The first two records share prompt and chosen: 3 solutions and 2 pairs; the two conversations have 2 and 1 each.
    assert report.rows_out == {"problems": 3, "solutions": 7, "steps": 9, "pairs": 4}
    assert report.decisions["a text that was there already is the same solution (its first labels and rewards count)"] == 1
    pairs = version.frame("pairs")
    assert sorted(margin for margin in pairs["margin"] if margin is not None) == [0.25, 0.5]
    assert pairs["margin"].null_count() == 2
    assert set(version.frame("solutions")["correct"]) == {None}
    records, _ = export_records("trl-preference", version, tmp_path)
    texts = [record for record in records if record["prompt"] == "What is 2 + 2?\n"]
    assert same(texts, golden("trl-preference")[:2])
    chats, _ = export_records("trl-preference", version, tmp_path, style="chat", scores=False)
    assert golden("trl-preference")[2] | {"prompt": [{"role": "user", "content": "What is 3 * 5?"}]} in chats


@given(TEXT, TEXT, TEXT)
def test_round_trip(prompt: str, chosen: str, rejected: str):
    record = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    (group,) = read(record, ReadOptions())
    whole = tuple(Solution(solution.steps, prompt=group.prompt) for solution in group.solutions)
    assert list(write(Group(group.question, solutions=whole, pairs=group.pairs), WriteOptions())) == [record]


@pytest.mark.parametrize("whole", [True, False])
def test_a_text_as_prompt_beside_conversations(whole: bool):
    """The text may be their first message too, as in ultrafeedback_binarized."""
    asked = [{"role": "user", "content": "2 + 2?"}] * whole
    chosen, rejected = ([*asked, {"role": "assistant", "content": text}] for text in ("4", "5"))
    (group,) = read({"prompt": "2 + 2?", "chosen": chosen, "rejected": rejected}, ReadOptions())
    assert group.question == "2 + 2?"
    assert [solution.text for solution in group.solutions] == ["4", "5"]
    with pytest.raises(Unusable, match="neither a text nor a list"):
        next(read({"prompt": 4, "chosen": chosen, "rejected": rejected}, ReadOptions()))


def test_chosen_is_right_only_where_the_user_says_so():
    record = {"prompt": "Q", "chosen": "a", "rejected": "b"}
    (open_,), (right,) = read(record, ReadOptions()), read(record, ReadOptions(correct="chosen"))
    assert [solution.correct for solution in open_.solutions] == [None, None]
    assert [solution.correct for solution in right.solutions] == [True, False]


def test_where_a_step_begins_is_an_option():
    record = {"prompt": "Q", "chosen": "a\nb\n\nc", "rejected": "b"}
    counts = [
        len(next(read(record, ReadOptions.model_validate({"splitter": splitter}))).solutions[0].steps)
        for splitter in ("step-label", "newline", "blank-line")
    ]
    assert counts == [1, 3, 2]


def test_scores_go_out_unless_left_out():
    group = Group("Q", solutions=(Solution(("a",), prompt="p"), Solution(("b",), prompt="p")), pairs=(Pair(0, 1, 0.5, 0.25),))
    record = {"prompt": "p", "chosen": "a", "rejected": "b"}
    assert list(write(group, WriteOptions())) == [record | {"score_chosen": 0.5, "score_rejected": 0.25}]
    assert list(write(group, WriteOptions(scores=False))) == [record]


def test_pairs_with_two_prompts_are_left():
    group = Group("Q", solutions=(Solution(("a",), prompt="p"), Solution(("b",), prompt="q")), pairs=(Pair(0, 1),))
    (left,) = write(group, WriteOptions())
    assert isinstance(left, Left)
    assert not left.kept
    assert len(list(write(group, WriteOptions(style="chat")))) == 1


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "Q", "chosen": " ", "rejected": "b"}, "chosen is blank"),
        ({"prompt": "Q", "chosen": 3, "rejected": "b"}, "neither texts nor lists"),
        ({"chosen": "Human: Q Assistant: a", "rejected": "Human: Q Assistant: b"}, "prompt is none"),
        ({"prompt": [{"role": "assistant", "content": "x"}], "chosen": [], "rejected": []}, "not one user message"),
        ({"prompt": [{"role": "user"}], "chosen": [], "rejected": []}, "no role or no content"),
        ({"prompt": [{"role": "user", "content": "Q"}], "chosen": [], "rejected": []}, "not one assistant message"),
    ],
)
def test_faulty_records(record: dict[str, object], reason: str):
    with pytest.raises(Unusable, match=reason):
        list(read(record, ReadOptions()))
