"""terminal_plot: where marks stand, worked by hand."""

from cli.terminal_plot import BOTH, terminal_plot


def test_two_lines_between_their_least_and_greatest():
    """Rows are 1, 0.5, 0, -0.5, -1. The lines begin in one cell and part."""
    drawn = terminal_plot([1, 2, 3], {"●": [0.0, 0.5, 1.0], "○": [0.0, -0.5, -1.0]}, width=3, height=5)
    assert drawn == [
        " 1 ┤  ●",
        "   │ ●",
        f"   │{BOTH}",
        "   │ ○",
        "-1 ┤  ○",
        "   └───",
        "    1 3",
    ]


def test_few_steps_stand_apart():
    assert terminal_plot([1, 2], {"●": [0.0, 1.0]}, width=60, height=2) == ["1 ┤    ●", "0 ┤●", "  └─────", "   1   2"]


def test_a_long_course_is_averaged():
    """Six steps on three columns: means 0.5, 2.5 and 4.5, so that the plot goes from 0.5 to 4.5."""
    drawn = terminal_plot([10, 20, 30, 40, 50, 60], {"●": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}, width=3, height=3)
    assert drawn == ["4.5 ┤  ●", "    │ ●", "0.5 ┤●", "    └───", "     10 60"]


def test_a_flat_line_and_none():
    assert terminal_plot([7], {"●": [-1e-9]}, width=60, height=3) == ["0 ┤", "  │●", "  │", "  └─", "   7"]
    assert terminal_plot([], {"●": []}, width=60, height=3) == []
