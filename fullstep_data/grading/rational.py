r"""Numbers as people write them in answers, read exactly: a fraction with its percent sign and unit.

    number("1,234.50")          ->  Number(Fraction(2469, 2))
    number(r"-\frac{3}{4}")     ->  Number(Fraction(-3, 4))
    number("1 1/2 cups")        ->  Number(Fraction(3, 2), unit="cup")
    number(r"x = 50\%")         ->  Number(Fraction(50), percent=True, name="x")
    number("2x + 1"), number("5 or 6"), number("1,2"), number("12:30")   ->  None

Read: signs, $ € £, thousands in groups of three (comma, blank, {,}), decimals, a/b and \frac, mixed numbers, 1e2 and
3 \times 10^2, hundred … trillion and dozen as factors, a percent sign, a unit in words. Arithmetic is left to math-verify.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

# A longer text is no plain number; the cap also keeps 10**exponent and int() cheap.
_MAX_LENGTH = 200
_MAX_EXPONENT = 400

_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–‐‑", "-"),
        **dict.fromkeys("\u00a0\u2009\u202f\u2007", " "),
        "⁄": "/",
        "×": r"\times ",
        "°": " degrees",
        "½": " 1/2",
        "¼": " 1/4",
        "¾": " 3/4",
        "⅓": " 1/3",
        "⅔": " 2/3",
    }
)
_LATEX = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|displaystyle|!)(?![A-Za-z])", ""),
        (r"\{,\}", ","),
        (r"(?<=\d)\\[,;: ](?=\d)", " "),
        (r"\\[,;: ]|~", " "),
        (r"\\[dt]frac", r"\\frac"),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{"),
        (r"\\([$%])", r"\1"),
        (r"\^\s*(?:\\circ|\{\s*\\circ\s*\})", " degrees"),
        (r"\\(?:text|textbf|mathrm|mbox|mathbf)\s*\{([^{}]*)\}", r" \1 "),
        (r"\s+", " "),
    )
)
# Most answers look so; the rest of this file is for the others.
_USUAL = re.compile(r"([+-]?)(?:\\?\$)?([1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)(?:\.([0-9]*))?")
_N = r"(?:(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]{0,2}(?:[ ][0-9]{3})+|[0-9]+)(?![0-9])(?:\.[0-9]*)?|\.[0-9]+)"
_NUMBER = re.compile(
    rf"""
    (?P<sign>[+-]?) [ ]? [$€£]? [ ]? (?P<sign2>[+-]?)
    (?: (?P<whole>[0-9]+) [ ]? (?: [ ](?P<top>[1-9][0-9]*)/(?P<bottom>[1-9][0-9]*)
                                 | \\frac\{{(?P<top2>[0-9]+)\}}\{{(?P<bottom2>[0-9]+)\}} )
      | \\frac \s* \{{ \s* (?P<fsign>[+-]?) \s* (?P<ftop>{_N}) \s* \}} \s* \{{ \s* (?P<fbottom>{_N}) \s* \}}
      | (?P<num>{_N}) (?: [ ]?/[ ]? (?P<den>{_N}) | [eE](?P<exp>[+-]?[0-9]{{1,3}})
                        | [ ]?(?:\\times|\*|x)[ ]?10[ ]?\^[ ]?\{{?(?P<power>[+-]?[0-9]{{1,3}})\}}? )?
    )
    (?![0-9/^.,]) [ ]? [$€£]? [ ]? (?P<suffix>[^0-9]*|.*[²³]|.*\^[ ]?\{{?[23]\}}?)
    """,
    re.VERBOSE,
)
_SCALES = {
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
}
# Short units by name: two letters could as well be a product of variables, one letter always could.
_SHORT_UNITS = frozenset(("mm", "cm", "dm", "km", "kg", "mg", "ml", "cl", "lb", "oz", "ft", "yd", "mi", "in", "hr", "am", "pm"))
# Words that say something other than what was counted: "5 or more", "2 pi", "3 hundred" are no numbers with a unit.
_NOT_UNITS = frozenset(
    ("or", "and", "not", "nor", "more", "less", "plus", "minus", "times", "over", "sqrt", "sin", "cos", "tan", "log")
)
_UNIT = re.compile(r"[A-Za-z]+(?:[ /-][A-Za-z]+){0,4}\.?(?: ?\^ ?\{?[23]\}?|[²³])?")
_NAME = re.compile(r"\\?[A-Za-z]+(?:_\{?\w+\}?)?'*(?:\([^()=]*\))?|[A-Za-z]{2,}(?: [A-Za-z]+){0,7}")
_VARIABLE = re.compile(r"(?:[A-Za-z]|\\[A-Za-z]+)(?:_\{?\w+\}?)?'*(?:\([^()=]*\))?")  # unlike "Total cost"
_CALCULATION = re.compile(r"(?:[0-9 .,+*/()$%{}^-]|\\times|\\cdot|\\div|\\frac)+")


@dataclass(frozen=True)
class Number:
    """An exact value and what stood around it. unit: in lower case, singular. name: the left side of `x = 5`, if a variable."""

    value: Fraction
    percent: bool = False
    unit: str = ""
    name: str = ""


def same(left: Number, right: Number) -> bool | None:
    """Do two answers state one number? Symmetric. None: not for us to say (x = 5 against y = 5).

    A unit on one side only is taken as understood from the question, two different units are two different answers. A percent
    sign on one side only may be read either way: 50% answers "what percent?" (50) and "what share?" (0.5).
    """
    if left.name and right.name and left.name != right.name:
        return None
    if left.unit and right.unit and left.unit != right.unit:
        return False
    if left.percent == right.percent:
        return left.value == right.value
    share, plain = (left, right) if left.percent else (right, left)
    return plain.value in (share.value, share.value / 100)


@lru_cache(maxsize=65_536)
def number(text: str) -> Number | None:
    """The number that `text` states and nothing else, or None."""
    if len(text) > _MAX_LENGTH:
        return None
    usual = _USUAL.fullmatch(text)
    if usual:
        sign, whole, places = usual.groups(default="")
        return Number(Fraction(int(sign + whole.replace(",", "") + places), 10 ** len(places)))
    text = plain(text)
    left, equals, right = text.rpartition("=")
    found, left = _number(right.strip()), left.strip()
    if found is None or not equals or _CALCULATION.fullmatch(left.replace("=", "")):
        return found  # "2*3 = 6" is a calculation whose result is 6
    if not _NAME.fullmatch(left):
        return None
    return replace(found, name=left if _VARIABLE.fullmatch(left) else "")


def last_side(text: str) -> str:
    """The result of a calculation: `6 = 2*3` -> `2*3`. Any other text unchanged."""
    left, equals, right = text.rpartition("=")
    sides = (left.replace("=", ""), right)
    return right.strip() if equals and all(_CALCULATION.fullmatch(side) and side.strip() for side in sides) else text


def plain(text: str) -> str:
    """`text` with the ways of writing that mean the same made one: minus signs, blanks, \\dfrac, \\text{…}, \\left, 1{,}000."""
    text = text.translate(_CHARACTERS)
    if "\\" in text or "{" in text or "~" in text or "  " in text or "\n" in text:
        for pattern, replacement in _LATEX:
            text = pattern.sub(replacement, text)
    return _without_dollars(text.strip())


def _without_dollars(text: str) -> str:
    if len(text) > 2 and text.startswith("$") and text.endswith("$"):
        return text.strip("$").strip()
    return text


def _number(text: str) -> Number | None:
    match = _NUMBER.fullmatch(text.rstrip(". "))
    if match is None or (match["sign"] and match["sign2"]):
        return None
    value = _value(match)
    glued = match.start("suffix") > 0 and match.string[match.start("suffix") - 1] not in " $€£"
    suffix = _suffix(match["suffix"].strip(), glued)
    if value is None or suffix is None:
        return None
    scale, percent, unit = suffix
    sign = -1 if match["sign"] == "-" or match["sign2"] == "-" else 1
    return Number(sign * value * scale, percent, unit)


def _value(match: re.Match[str]) -> Fraction | None:
    """The unsigned value of a match of _NUMBER; None for a division by 0 or a mixed number that is none (1 5/3)."""
    if match["whole"]:
        top, bottom = int(match["top"] or match["top2"]), int(match["bottom"] or match["bottom2"])
        return int(match["whole"]) + Fraction(top, bottom) if top < bottom else None
    if match["ftop"]:
        value, bottom = _decimal(match["ftop"]), _decimal(match["fbottom"])
        value = -value if match["fsign"] == "-" else value
    else:
        value, bottom = _decimal(match["num"]), _decimal(match["den"] or "1")
    exponent = int(match["exp"] or match["power"] or "0")
    if bottom == 0 or abs(exponent) > _MAX_EXPONENT:
        return None
    return value / bottom * Fraction(10) ** exponent


def _decimal(digits: str) -> Fraction:
    whole, _, places = digits.replace(",", "").replace(" ", "").partition(".")
    return Fraction(int(whole + places), 10 ** len(places))


def _suffix(suffix: str, glued: bool) -> tuple[int, bool, str] | None:
    """(factor, percent?, unit) of what follows a number; None where that is not a unit. glued: no blank between (24xyz, 5cm)."""
    if not suffix:
        return 1, False, ""
    if suffix in ("%", "percent", "per cent"):
        return 1, True, ""
    first, _, rest = suffix.partition(" ")
    scale = None if glued else _SCALES.get(first.lower())
    unit = _unit(suffix if scale is None else rest, glued)
    return None if unit is None else (scale or 1, False, unit)


def _unit(text: str, glued: bool) -> str | None:
    if not text:
        return ""
    if not _UNIT.fullmatch(text):
        return None
    words = re.findall(r"[A-Za-z]+", text.lower())
    if _NOT_UNITS.intersection(words) or _SCALES.keys() & set(words[1:]):
        return None
    if (glued or len(words[0]) < 3) and words[0] not in _SHORT_UNITS:
        return None
    return re.sub(r"[a-z]+", lambda word: word.group().removesuffix("s"), text.lower().rstrip("."))
