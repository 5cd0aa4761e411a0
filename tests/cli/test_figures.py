"""figures: the live table of a training, as it comes."""

from collections.abc import Mapping

from cli.figures import COLUMNS, LiveTable, figure, header, line

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


def columns_of(row: Mapping[str, float]) -> list[str]:
    return [name for name in COLUMNS if name in row]


def test_a_row_of_a_policy_and_of_a_prm():
    assert header(columns_of(POLICY)).split() == [
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
    figures = ["1,200", "0.6931", "0.5000", "75%", "-41.3", "-44.0", "-0.0100", "2.2000", "5e-07"]
    assert line(columns_of(POLICY), POLICY).split() == figures
    assert line(columns_of(PRM), PRM).split() == ["3", "0.5000", "1.0000", "1e-05"]
    for row in (POLICY, PRM):
        assert len(header(columns_of(row))) == len(line(columns_of(row), row))


def test_what_rounds_to_nothing_has_no_sign():
    assert figure("log_ratio/token", -1e-8) == "0.0000"
    assert figure("logps/chosen", -41.26) == "-41.3"


def test_a_measurement_is_shown_whenever_it_comes_in_a_column_of_its_own():
    """Steps 2 and 4 come too soon to be shown; step 3 is shown for its AUC, and the rows after it leave the column open."""
    now, written = [100.0], []
    table = LiveTable(written.append, lambda: now[0], 5.0)
    for step in (1, 2, 3, 4):
        table.add(PRM | {"step": step} | ({"validation/auc": 0.75} if step == 3 else {}))
    table.end()
    assert [text.split()[0] for text in written] == ["step", "1", "step", "3", "4"]
    assert written[2].split() == ["step", "loss", "val.", "AUC", "grad", "norm", "rate"]
    assert written[3].split() == ["3", "0.5000", "0.7500", "1.0000", "1e-05"]
    assert written[4].split() == ["4", "0.5000", "1.0000", "1e-05"]
    assert len(written[3]) == len(written[4]) == len(written[2])


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
