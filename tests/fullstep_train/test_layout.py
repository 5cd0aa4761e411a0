"""layout: a tree pack holds each distinct prefix once, and each token sees exactly what stands before it in its
sequence.
"""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fullstep_train.layout import Pack, plain_packs, tree_packs

sequences_of_few_tokens = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7).map(tuple), min_size=1, max_size=6)


def holds(packs: list[Pack], sequences: list[tuple[int, ...]]) -> None:
    """Every sequence stands in one pack, its tokens and positions in order."""
    assert sorted(member for pack in packs for member in pack.members) == list(range(len(sequences)))
    for pack in packs:
        for member, slots in zip(pack.members, pack.slots, strict=True):
            assert pack.input_ids.reshape(-1)[slots].tolist() == list(sequences[member])
            assert pack.positions.reshape(-1)[slots].tolist() == list(range(len(sequences[member])))


@settings(max_examples=100, deadline=None)
@given(sequences=sequences_of_few_tokens, bound=st.integers(1, 30))
def test_tree(sequences: list[tuple[int, ...]], bound: int) -> None:
    packs = tree_packs(sequences, bound)
    holds(packs, sequences)
    for pack in packs:
        assert pack.tokens <= bound or len(pack.members) == 1
        prefixes = {sequences[member][: end + 1] for member in pack.members for end in range(len(sequences[member]))}
        assert pack.tokens == len(prefixes)
        mask = pack.inputs(torch.device("cpu"), torch.float32)["attention_mask"][0, 0]
        for slots in pack.slots:
            for depth, slot in enumerate(slots):
                assert torch.nonzero(mask[slot] == 0)[:, 0].tolist() == slots[: depth + 1].tolist()


@settings(max_examples=50, deadline=None)
@given(sequences=sequences_of_few_tokens, bound=st.integers(1, 30))
def test_plain(sequences: list[tuple[int, ...]], bound: int) -> None:
    packs = plain_packs(sequences, bound)
    holds(packs, sequences)
    assert all(pack.tokens <= bound or len(pack.members) == 1 for pack in packs)


def test_a_prompt_and_shared_steps_take_their_slots_once() -> None:
    """Prompt 1 2 3, then 4 5, 4 6 and 7: slots are 3 + (4) + (5) + (6) + (7) = 7 instead of 5 + 5 + 4 = 14."""
    pack = tree_packs([(1, 2, 3, 4, 5), (1, 2, 3, 4, 6), (1, 2, 3, 7)], 100)[0]
    assert pack.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert pack.positions.tolist() == [[0, 1, 2, 3, 4, 4, 3]]
    assert pack.ends is not None
    # 1, 2, 3 reach to the end; 4 covers 5 and 6; the leaves cover themselves.
    assert pack.ends.tolist() == [7, 7, 7, 6, 5, 6, 7]
    assert np.array_equal(pack.slots[2], [0, 1, 2, 6])


def test_a_block_mask_is_the_dense_mask() -> None:
    """Two texts after one beginning, 300 slots: what each slot sees, by both masks; 84 more fill the last block."""
    (pack,) = tree_packs([tuple(range(100)), (*range(50), *range(200, 400))], max_tokens=1000)
    dense = pack.inputs(torch.device("cpu"), torch.float32)["attention_mask"][0, 0] == 0
    filled = pack.inputs(torch.device("cpu"), torch.float32, flex=True)
    assert filled["input_ids"].shape == filled["position_ids"].shape == (1, 384)
    block, slots = filled["attention_mask"], torch.arange(384)
    sees = block.mask_mod(0, 0, slots[:, None], slots[None, :])
    assert torch.equal(sees[:300, :300], dense)
    assert torch.equal(sees[300:], torch.eye(384, dtype=torch.bool)[300:])
    # Three blocks of 128 slots to a side. What comes first ends at slot 99: the blocks of the second text need not look there
    # but for the 50 slots that both share, which lie in the same block.
    assert block.to_dense()[0, 0].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
