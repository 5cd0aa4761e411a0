import pytest

from fullstep_data.hub.address import Address, is_address, parse, tag_name
from schemas import InputError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ann/sums", Address("ann/sums")),
        ("ann/sums@v1", Address("ann/sums", "v1")),
        ("hf://ann/sums@v1", Address("ann/sums", "v1")),
        ("hf://datasets/ann/sums@v1", Address("ann/sums", "v1")),
        ("hf://Ann-1/s.u_m-s", Address("Ann-1/s.u_m-s")),
    ],
)
def test_addresses(text: str, address: Address):
    assert parse(text) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["sums", "a/b/c", "ann/sums@", "ann/sums@v1@v2", "/sums", "ann/", "ann/a--b", "a/" + "b" * 96, "ann/..", "ä/b"]
)
def test_what_is_no_address(text: str):
    with pytest.raises(InputError) as caught:
        parse(text)
    assert "owner/name" in str(caught.value)


@pytest.mark.parametrize("text", ["1", "", "v 1", "main", "a..b", "v1.lock", "v/1"])
def test_what_cannot_be_a_tag(text: str):
    with pytest.raises(InputError, match="cannot be a tag"):
        tag_name(text)
    assert tag_name("v1.0-rc_2") == "v1.0-rc_2"


def test_only_hf_is_the_hub():
    assert is_address("hf://ann/sums")
    assert not is_address("ann/sums@v1")
