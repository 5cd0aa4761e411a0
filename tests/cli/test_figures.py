"""figures: the live table of a training, as it comes."""

from cli.figures import LiveTable, header, line

POLICY = {
    "step": 1200,
    "loss": 0.69314,
    "rewards/margins": 0.5,
    "rewards/accuracies": 0.75,
    "logps/chosen": -41.26,
    "logps/rejected": -44.0,
    "log_ratio/token": -0.01,
    "grad_norm": 2.2,
    "learning_rate": 5e-7,
    "pairs": 16,
}
PRM = {"step": 3, "loss": 0.5, "grad_norm": 1.0, "learning_rate": 1e-5}


def test_a_row_of_a_policy_and_of_a_prm():
    assert header(POLICY).split() == [
        "step",
        "loss",
        "margin",
        "won",
        "chosen",
        "rejected",
        "ratio/token",
        "grad",
        "norm",
        "rate",
    ]
    assert line(POLICY).split() == ["1,200", "0.6931", "0.5000", "75%", "-41.3", "-44.0", "-0.0100", "2.2000", "5e-07"]
    assert line(PRM).split() == ["3", "0.5000", "1.0000", "1e-05"]
    for row in (POLICY, PRM):
        assert len(header(row)) == len(line(row))


def test_the_first_row_then_one_in_five_seconds_and_the_last():
    now, written = [100.0], []
    table = LiveTable(written.append, lambda: now[0], 5.0)
    for step in range(1, 13):  # a step takes 1 s: rows at 100, 105, 110 s, and the last, of 111 s, at the end
        table.add(PRM | {"step": step})
        now[0] += 1.0
    table.end()
    assert [text.split()[0] for text in written] == ["step", "1", "6", "11", "12"]


def test_another_training_has_a_header_of_its_own():
    written: list[str] = []
    table = LiveTable(written.append, lambda: 100.0, 5.0)
    table.add(PRM)
    table.end()
    table.add(PRM)
    table.add(POLICY)
    assert [text.split()[0] for text in written] == ["step", "3", "step", "3", "step", "1,200"]
