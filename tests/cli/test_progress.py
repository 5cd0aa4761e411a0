import io

import pytest
from rich.console import Console
from rich.progress import Progress

from cli.progress import Bars, Eta, Lines, Pace, ProgressReporter, duration, finished_line


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines_reporter() -> tuple[ProgressReporter, list[str], Clock]:
    clock, written = Clock(), []
    return ProgressReporter(Lines(written.append, clock), clock), written, clock


def test_eta_counts_only_what_this_run_did():
    # 10 parts, 4 found finished, 2 more done in 30 s: 15 s a part, 4 parts left -> 60 s.
    pace = Pace("samples", total=10, found=4, started=0.0)
    pace.move(30.0, 6, 0.0)
    assert pace.eta(30.0) == pytest.approx(60.0)


def test_eta_takes_the_part_in_hand_by_its_fraction():
    # half of one part in 5 s: 10 s a part; 1.5 of 2 parts left -> 15 s.
    pace = Pace("prm", total=2, found=0, started=0.0)
    pace.move(5.0, 0, 0.5)
    assert pace.eta(5.0) == pytest.approx(15.0)


def test_eta_counts_down_between_ticks_and_stops_at_zero():
    pace = Pace("prm", total=2, found=0, started=0.0)
    pace.move(5.0, 0, 0.5)
    assert pace.eta(9.0) == pytest.approx(11.0)
    assert pace.eta(99.0) == 0.0


def test_the_time_that_tools_take_to_open_is_no_speed():
    reporter, written, clock = lines_reporter()
    reporter.stage_started("samples", 4, 0)
    reporter.part_progress("samples", 0.0, "opening generator")
    clock.now += 90
    reporter.tools_opened("samples", 90.0)
    clock.now += 10
    reporter.part_progress("samples", 0.5)
    # half of a part in 10 s: 20 s a part, 3.5 left; with the 90 s it would be 11 minutes
    assert written == ["samples: 12%, part 0/4, 1m40s, eta 1m10s\n"]


def test_there_is_no_eta_before_anything_was_done():
    assert Pace("steps", total=3, found=3, started=0.0).eta(10.0) is None


def test_plain_lines_come_at_most_every_five_seconds_and_tell_the_eta():
    reporter, written, clock = lines_reporter()
    reporter.stage_started("samples", 4, 0)
    for second in range(1, 21):
        clock.now = 100.0 + second
        reporter.part_progress("samples", (second % 10) / 10)
        if second % 10 == 0:
            reporter.part_done("samples")
    reporter.stage_done("samples", 32, {}, 20.0, 0)
    assert len(written) == 5  # seconds 5, 10, 15, 20 and the end
    # at 5 s half of part 1 of 4 is done: 10 s a part, 3.5 left
    assert written[0] == "samples: 12%, part 0/4, 5.0s, eta 35s\n"
    assert written[-1].startswith("samples")
    assert "32 rows" in written[-1]
    assert all(line.endswith("\n") and line.count("\n") == 1 and line[:-1].isprintable() for line in written)


def test_lines_carry_what_the_engine_says_of_itself():
    reporter, written, clock = lines_reporter()
    reporter.stage_started("samples", 2, 0)
    clock.now += 10
    reporter.part_progress("samples", 0.5, "412 tokens/s, cache 87 %")
    clock.now += 10
    reporter.part_done("samples")  # says nothing new: the last note stands
    assert written[0] == "samples: 25%, part 0/2, 10s, eta 30s, 412 tokens/s, cache 87 %\n"
    assert written[1].endswith(", 412 tokens/s, cache 87 %\n")


def test_lines_tell_the_rejects_so_far():
    reporter, written, clock = lines_reporter()
    reporter.stage_started("samples", 4, 2)
    reporter.rejected_so_far("samples", 1_200)
    clock.now += 10
    reporter.part_progress("samples", 0.5, "412 tokens/s, 2 failed")
    clock.now += 10
    reporter.part_done("samples")
    reporter.rejected_so_far("samples", 1_202)
    clock.now += 10
    reporter.part_progress("samples", 0.5, "409 tokens/s")
    reporter.stage_started("solutions", 4, 0)
    clock.now += 10
    reporter.part_progress("solutions", 0.5)
    assert [line.split("eta ")[1].split(", ", 1)[1:] for line in written] == [
        ["412 tokens/s, 2 failed, 1,200 rejected\n"],
        ["412 tokens/s, 2 failed, 1,200 rejected\n"],
        ["409 tokens/s, 1,202 rejected\n"],
        [],
    ]


def test_the_figures_of_a_training_stand_above_the_line_that_ends_it():
    reporter, written, clock = lines_reporter()
    reporter.stage_started("policy", 1, 0)
    for step in (1, 2):
        reporter.figures({"step": step, "loss": 0.5})
        clock.now += 1.0
    reporter.stage_done("policy", None, {}, 2.0, 0)
    assert [text.split()[0] for text in written] == ["step", "1", "2", "policy"]


def test_parts_in_several_hands_count_by_their_sum():
    reporter, written, clock = lines_reporter()
    reporter.stage_started("samples", 4, 0)
    clock.now += 10
    reporter.part_progress("samples", 1.5)  # one is done, of the other half
    reporter.part_done("samples")
    # 1.5 of 4 parts in 10 s: 2.5 are left, 16.7 s. Not 3 parts left, as if the half were forgotten.
    assert written == ["samples: 38%, part 0/4, 10s, eta 17s\n"]
    clock.now += 5
    reporter.part_done("samples")  # the half was the last word of it
    # 2 of 4 parts in 15 s
    assert written[1] == "samples: 50%, part 2/4, 15s, eta 15s\n"


def test_a_finished_line_names_rows_reasons_time_and_reuse():
    line = finished_line("pairs", 1200, {"no correct solution": 3, "duplicate text": 12}, 75.0, 2)
    assert line.split()[:4] == ["pairs", "1,200", "rows", "1m15s"]
    assert line.endswith("  2 parts reused  rejected: 12 duplicate text, 3 no correct solution")


def test_a_table_without_rows_says_so_and_a_model_has_none():
    assert finished_line("pairs", 0, {}, 1.0, 0).split() == ["pairs", "0", "rows", "1.0s"]
    assert finished_line("prm", None, {}, 1.0, 0).split() == ["prm", "1.0s"]


def test_bars_leave_one_line_per_finished_stage():
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, color_system=None)
    clock = Clock()
    with Progress("{task.description} {task.fields[parts]}", Eta(), console=console, auto_refresh=False) as bars:
        reporter = ProgressReporter(Bars(bars), clock)
        for name in ("samples", "solutions"):
            reporter.stage_started(name, 2, 1)
            assert [task.completed for task in bars.tasks] == [1]
            clock.now += 2
            reporter.part_progress(name, 0.5)
            assert [task.completed for task in bars.tasks] == [1.5]
            reporter.part_done(name)
            reporter.stage_done(name, 7, {}, 2.0, 1)
            assert not bars.tasks
    finished = [line for line in output.getvalue().splitlines() if "7 rows" in line]
    assert len(finished) == 2


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0s"), (9.94, "9.9s"), (12.3, "12s"), (59.7, "1m00s"), (3725, "1h02m")])
def test_duration(seconds: float, text: str):
    assert duration(seconds) == text
