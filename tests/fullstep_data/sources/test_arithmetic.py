"""The bench as a source: problems are fixed by seed and number, and growing keeps what was there."""

from fullstep_data.arithmetic import item
from fullstep_data.config import ArithmeticSource
from fullstep_data.sources import read


def test_problem_i_depends_on_neither_size_nor_first() -> None:
    many = read(ArithmeticSource(family="facts", size=9, seed=1))
    assert read(ArithmeticSource(family="facts", size=3, seed=1)) == many[:3]
    assert read(ArithmeticSource(family="facts", size=2, first=4, seed=1)) == many[4:6]
    assert read(ArithmeticSource(family="facts", size=9, seed=2)) != many
    assert [one.source_row for one in many[:2]] == ["0", "1"]


def test_problems_of_one_length_are_those_of_all_that_have_it() -> None:
    every = read(ArithmeticSource(family="skill", size=40, seed=1))
    short = read(ArithmeticSource(family="skill", size=5, seed=1, operations=3))
    assert short == [one for one in every if one.question.count("(") == 3][:5]


def test_the_source_names_the_family_and_the_answer_is_the_truth() -> None:
    (one,) = read(ArithmeticSource(family="skill", size=1, seed=3))
    assert one.source == "arithmetic/skill"
    assert (one.question, one.answer) == (item("skill", 3, 0).question, item("skill", 3, 0).answer)
