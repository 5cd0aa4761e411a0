"""One clear error: what, where, how many, at most five examples, what to do next."""

from schemas import InputError


def test_every_part_is_told_and_examples_stop_at_five():
    error = InputError("gold answer is null", where="a.jsonl", count=7, examples=range(7), next_step="fill the column")
    assert str(error).splitlines() == [
        "gold answer is null",
        "  where: a.jsonl",
        "  count: 7",
        *[f"  example: {index}" for index in range(5)],
        "  next: fill the column",
    ]


def test_parts_that_do_not_apply_are_left_out():
    assert str(InputError("no such recipe")) == "no such recipe"
