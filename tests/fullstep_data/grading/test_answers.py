"""One place, one answer: the last closed box, else the last `####` line, else the last "answer is"."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullstep_data.grading import extract
from fullstep_data.grading.answers import unwrap
from schemas.solutions import ANSWER_SOURCES


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"The answer is \boxed{7}.", "7"),
        (r"\boxed{1} no, wait: \boxed{2}", "2"),  # math-verify reads the set {1, 2}; a later box replaces a draft
        (r"$\boxed{\frac{3}{4}}$", r"\frac{3}{4}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),  # escaped braces close nothing
        (r"\boxed{x = \boxed{5}}", "5"),
        (r"\fbox{9}", "9"),
        (r"\boxed 5$.", "5"),
        (r"\boxed{8} and then \boxed{12", "8"),  # the second was cut off by the token limit
        (r"\boxed{8} and then \boxed{}", "8"),
        (r"\boxed{10.}", "10"),
        (r"\boxed{$18$}", "18"),
        (r"\boxed{**18**}", "18"),
        ("\\boxed{\n 5 \n}", "5"),
        (r"\boxed{5!}", "5!"),
        (r"#### 3" + "\n" + r"\boxed{4}", "4"),
    ],
)
def test_boxed_comes_first(text: str, answer: str) -> None:
    assert extract(text) == (answer, "boxed")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("2 + 3 = 5\n#### 5", "5"),
        ("#### 4\n#### 5\n", "5"),
        ("The answer is 3\n#### 1,080", "1,080"),
        ("#### $18.", "$18"),
        ("#### 7\n#### Step 2: and so on\nwe check it", "7"),  # a Markdown heading
        ("#### Monday", "Monday"),  # words count on the last line
        ("#### The final answer is: 12", "12"),
    ],
)
def test_then_hashes(text: str, answer: str) -> None:
    assert extract(text) == (answer, "hashes")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 7.", "7"),
        ("the ANSWER IS: 3.5. So we are done", "3.5"),
        ("The answer is 3 or rather the answer is 4", "4"),
        ("The answer is **18**.", "18"),
        ("**Answer:** 18", "18"),
        ("The final answer is $\\frac{1}{2}$.", r"\frac{1}{2}"),
        ("The answer is:\n\n$$\nx + 1\n$$\n", "x + 1"),
        ("The answer is $18 per day\nbecause 9 * 2 = 18", "$18 per day"),
        ("The answer is 1,234.50 dollars.", "1,234.50 dollars"),
    ],
)
def test_then_the_phrase(text: str, answer: str) -> None:
    assert extract(text) == (answer, "phrase")


@pytest.mark.parametrize(
    "text", ["", "7", "so 3 + 4 = 7", r"\boxed{12", "#### Step 1\nwe add", "The answers differ", "####", "answer is"]
)
def test_else_there_is_none(text: str) -> None:
    assert extract(text) == (None, "none")


@given(st.text() | st.text(alphabet="\\boxedfanswri#s:{}$*. 12\n"))
@settings(deadline=None, max_examples=300)
def test_any_text_has_one_outcome(text: str) -> None:
    answer, source = extract(text)
    assert source in ANSWER_SOURCES
    assert (answer is None) == (source == "none")
    assert answer is None or (answer == unwrap(answer) and answer.strip())


@given(st.text(alphabet=st.characters(exclude_characters="\\{}$*_`.,;:!", exclude_categories=("Z", "Cc", "Cs")), min_size=1))
@settings(deadline=None)
def test_what_is_boxed_is_found(content: str) -> None:
    assert extract(f"#### 1\nThe answer is 2. \\boxed{{3}} then \\boxed{{{content}}}") == (content, "boxed")
