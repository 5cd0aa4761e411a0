"""Cutting sampled ids at a character, and joining what comes after them: no half characters, no lost stop strings."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from fullstep_data.engines.continuation import cut, decoded, held
from fullstep_data.engines.protocol import Request
from tests.models import tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def decode(ids: Sequence[int]) -> str:
    return TOKENIZER.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)


def encode(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def request(prefix: Sequence[int], *stops: str) -> Request:
    return Request("", 0, 10, stop=stops, prefix=tuple(prefix))


def bytes_text(ids: Sequence[int]) -> str:
    return bytes(ids).decode(errors="replace")


def test_the_fewest_ids_are_taken_and_a_token_across_the_stop_comes_whole() -> None:
    ids = encode("Step 1: 4 + 3 = 7.")
    pieces = [decode([token]) for token in ids]
    assert pieces[0] == "Step"
    # "St" is inside the first token, which holds four characters
    assert cut(decode, "Step 1: 4 + 3 = 7.", ids, [0, 2, 4, 18]) == [(0, 0), (1, 4), (1, 4), (len(ids), 18)]


def test_ids_that_end_before_the_stop_are_all_taken() -> None:
    ids = encode("Step 1")
    assert cut(decode, "Step 1: more", ids, [12]) == [(len(ids), 6)]


def test_half_a_character_is_not_held() -> None:
    euro = "€".encode()  # three bytes
    assert held(bytes_text, euro[:2]) == 0
    assert held(bytes_text, b"5 " + euro) == 3
    # text up to character 1 needs one byte; up to 3 all three bytes of the sign
    assert cut(bytes_text, "5 €", list(b"5 " + euro), [1, 3]) == [(1, 1), (5, 3)]


@given(st.text(max_size=30), st.integers(0, 60))
def test_prefix_and_rest_join_to_the_text_wherever_ids_are_parted(text: str, place: int) -> None:
    ids = encode(text)
    prefix, rest = ids[:place], ids[place:]
    added, end = decoded(decode, request(prefix), rest)
    assert end is None
    # a text may end in the sign for half a character itself; that is then part of what comes after
    assert decode(ids) == text
    assert text[: held(decode, prefix)] + added == text


def test_a_stop_string_may_begin_in_the_prefix() -> None:
    # "a\n" + "\nb": the two line ends stop the text before anything was added
    assert decoded(bytes_text, request(b"a\n", "\n\n"), b"\nb") == ("\nb", 0)
    assert decoded(bytes_text, request(b"a\n", "\n\n"), b"b\n\n") == ("b\n\n", 1)
    # one that ends in the prefix is none of this completion's
    assert decoded(bytes_text, request(b"\n\na", "\n\n"), b"b") == ("b", None)
