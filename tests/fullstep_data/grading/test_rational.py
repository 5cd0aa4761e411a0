"""Numbers are read exactly, in the forms people write, and nothing else is a number."""

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fullstep_data.grading.rational import Number, last_side, number, same

FORMS = {
    "10": Fraction(10),
    "10.": Fraction(10),
    "-5": Fraction(-5),
    "−5": Fraction(-5),  # U+2212
    "+5": Fraction(5),
    ".5": Fraction(1, 2),
    "007": Fraction(7),
    "1,234.50": Fraction(2469, 2),
    "1 000": Fraction(1000),
    "1{,}000": Fraction(1000),
    r"12\,345": Fraction(12345),
    "$18": Fraction(18),
    r"\$18.00": Fraction(18),
    "$18$": Fraction(18),
    "-$5": Fraction(-5),
    "$-5": Fraction(-5),
    "3/4": Fraction(3, 4),
    "1.5/2": Fraction(3, 4),
    r"\frac{3}{4}": Fraction(3, 4),
    r"-\dfrac{3}{4}": Fraction(-3, 4),
    r"\tfrac{-3}{4}": Fraction(-3, 4),
    r"\frac34": Fraction(3, 4),
    r"\frac3{4}": Fraction(3, 4),
    "1 1/2": Fraction(3, 2),
    "-1 1/2": Fraction(-3, 2),
    "1½": Fraction(3, 2),
    r"1\frac{1}{2}": Fraction(3, 2),
    r"1 \frac12": Fraction(3, 2),
    "1 000/3": Fraction(1000, 3),
    "1e2": Fraction(100),
    "2.5E-1": Fraction(1, 4),
    r"3 \times 10^2": Fraction(300),
    "3 × 10^{-2}": Fraction(3, 100),
    "5 million": Fraction(5_000_000),
    "2 dozen": Fraction(24),
    r"x = 5": Fraction(5),
    "Total cost = $18": Fraction(18),
    "2*3 = 6": Fraction(6),
}


@pytest.mark.parametrize(("text", "value"), FORMS.items())
def test_value(text: str, value: Fraction) -> None:
    found = number(text)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize(
    "text",
    ["", ".", "$", "%", "x", "1,2", "1,23", "0,333", "1 0000", "1 200/3", "1/0", "2x", "24xyz", "2 pi", "5 or 6", "5 and a half",
     "5 or more", "12:30", "(3)", "1.2.3", "--5", "2^3", "2x = 6", "x = y = 5", "x =", "6 = 2*3", "1e401", "9" * 201,
     "1,000" * 2000, r"\sqrt{2}", "5 m", "abc 5"],
)  # fmt: skip
def test_no_number(text: str) -> None:
    assert number(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("50%", Number(Fraction(50), percent=True)),
        (r"50 \%", Number(Fraction(50), percent=True)),
        ("50 percent", Number(Fraction(50), percent=True)),
        ("18 dollars", Number(Fraction(18), unit="dollar")),
        (r"5\text{ cups}", Number(Fraction(5), unit="cup")),
        ("5 square feet", Number(Fraction(5), unit="square feet")),
        ("60 miles/hour", Number(Fraction(60), unit="mile/hour")),
        ("5cm^2", Number(Fraction(5), unit="cm^2")),
        ("5cm²", Number(Fraction(5), unit="cm²")),
        (r"90^\circ", Number(Fraction(90), unit="degree")),
        ("f(2) = 5", Number(Fraction(5), name="f(2)")),
    ],
)
def test_what_stands_around_it(text: str, found: Number) -> None:
    assert number(text) == found


def test_last_side_is_the_result_of_a_calculation() -> None:
    assert last_side("6 = 2*3") == "2*3"
    assert last_side(r"x = 2*3") == "x = 2*3"
    assert last_side("y = 2x + 1") == "y = 2x + 1"
    assert last_side("=") == "="


rationals = st.builds(Fraction, st.integers(-(10**9), 10**9), st.integers(1, 10**4) | st.just(1))
BUSY = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])  # on a loaded machine


@st.composite
def written(draw: st.DrawFn, value: Fraction) -> str:
    """One way to write `value`."""
    top, bottom = value.numerator, value.denominator
    forms = [f"{top}/{bottom}", rf"\frac{{{top}}}{{{bottom}}}", f"{top}/{bottom} cups", f"x = {top}/{bottom}"]
    if bottom == 1:
        forms += [str(top), f"{top:,}", f"{top}.0", f"${top}$", f"{top:,} dollars", f"{top}e0"]
    if abs(value) > 1 and bottom > 1:
        whole, rest = divmod(abs(value), 1)
        forms.append(f"{'-' if value < 0 else ''}{whole} {rest.numerator}/{rest.denominator}")
    return draw(st.sampled_from(forms))


@given(st.data(), rationals)
@BUSY
def test_every_way_to_write_a_rational_is_that_rational(data: st.DataObject, value: Fraction) -> None:
    found = number(data.draw(written(value)))
    assert found is not None
    assert found.value == value


@given(st.data(), rationals, rationals)
@BUSY
def test_two_writings_are_the_same_exactly_where_the_values_are(data: st.DataObject, one: Fraction, other: Fraction) -> None:
    for left, right in ((one, other), (one, one)):
        a, b = number(data.draw(written(left))), number(data.draw(written(right)))
        assert a is not None
        assert b is not None
        verdict = same(a, b)
        units_differ = bool(a.unit and b.unit and a.unit != b.unit)
        assert verdict == (left == right and not units_differ)


numbers = st.builds(
    Number,
    value=st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(5), Fraction(50), Fraction(-50)]),
    percent=st.booleans(),
    unit=st.sampled_from(["", "cm", "dollar"]),
    name=st.sampled_from(["", "x", "y"]),
)


@given(numbers, numbers)
@settings(deadline=None, max_examples=200)
def test_same_is_symmetric(left: Number, right: Number) -> None:
    assert same(left, right) == same(right, left)


@given(st.text(alphabet="0123456789 ,./$%-+exEX=\\frac{}timesoldn^()½−"))
@settings(deadline=None, max_examples=500)
def test_any_text_is_a_number_or_none(text: str) -> None:
    assert number(text) is None or isinstance(number(text), Number)
