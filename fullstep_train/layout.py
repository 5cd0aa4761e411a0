"""Layout: several token sequences as the input of one forward pass, equal beginnings once.

    for pack in tree_packs(sequences, max_tokens=8192):
        pack.members          # which sequences it holds
        pack.slots[0]         # [L] where each token of the first member stands

A tree pack is the trie of its sequences in depth-first order: one row, one slot per distinct prefix, position = depth,
and a slot sees the slots on its way to the root. Depth-first order makes that one comparison: slot i sees slot j where
j <= i < ends[j]. So a group's prompt, and the first steps that its solutions share, are computed once, forward and
backward. `plain_packs` lays each sequence in a row of its own, padded: for models that cannot see by a mask of our own
(`forward.probe`), and to compare against.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

Ids = Sequence[int]
BLOCK = 128
"""Slots of a block of FlexAttention, to a side."""


@dataclass(frozen=True)
class Pack:
    """One forward pass.

    input_ids, positions: [B, N]. members: [S] which sequences. slots: for each member [L] flat slots (row * N + column)
    of its tokens. ends: [N], B = 1: one past the last slot below each slot of a tree; None: each row is a sequence,
    filled up on the right. lengths: [B] tokens in each row.
    """

    input_ids: np.ndarray
    positions: np.ndarray
    members: tuple[int, ...]
    slots: tuple[np.ndarray, ...]
    lengths: np.ndarray
    ends: np.ndarray | None = None

    @property
    def tokens(self) -> int:
        """Slots that are computed, filling included."""
        return self.input_ids.size

    def inputs(self, device: torch.device, dtype: torch.dtype, flex: bool = False) -> dict[str, Any]:
        """Keyword arguments of a transformers model. The mask of a tree is [1, 1, N, N], added to attention scores, in `dtype`;
        with `flex` a BlockMask of FlexAttention, which leaves out the blocks that no slot sees and holds no N x N numbers, and
        slots up to the next full block, which see themselves alone.
        """
        if flex and self.ends is not None and self.tokens % BLOCK:
            return self._in_whole_blocks(self.ends).inputs(device, dtype, flex)
        made: dict[str, Any] = {
            "input_ids": torch.from_numpy(self.input_ids).to(device),
            "position_ids": torch.from_numpy(self.positions).to(device),
        }
        columns = torch.arange(self.input_ids.shape[1], device=device)
        if self.ends is None:
            lengths = torch.from_numpy(self.lengths).to(device)
            return made | {"attention_mask": (columns[None, :] < lengths[:, None]).long()}
        ends = torch.from_numpy(self.ends).to(device)
        if flex:
            return made | {"attention_mask": _block_mask(ends)}
        sees = (columns[None, :] <= columns[:, None]) & (columns[:, None] < ends[None, :])
        mask = torch.zeros(sees.shape, dtype=dtype, device=device).masked_fill_(~sees, torch.finfo(dtype).min)
        return made | {"attention_mask": mask[None, None]}

    def _in_whole_blocks(self, ends: np.ndarray) -> "Pack":
        """The tree with more slots behind it, up to a multiple of BLOCK, so that few lengths are compiled for. Below one block
        FlexAttention would take its kernel for decoding, which torch 2.11 does not find for such a mask on an H200.
        """
        more = -self.tokens % BLOCK
        filling = np.zeros((1, more), dtype=np.int64)
        return replace(
            self,
            input_ids=np.concatenate([self.input_ids, filling], axis=1),
            positions=np.concatenate([self.positions, filling], axis=1),
            ends=np.concatenate([ends, np.arange(self.tokens, self.tokens + more) + 1]),
        )


def _block_mask(ends: torch.Tensor) -> BlockMask:
    def sees(row: torch.Tensor, head: torch.Tensor, slot: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (other <= slot) & (slot < ends[other])

    return create_block_mask(sees, 1, None, len(ends), len(ends), device=str(ends.device), BLOCK_SIZE=BLOCK)


def tree_packs(sequences: Sequence[Ids], max_tokens: int) -> list[Pack]:
    """Trees of at most `max_tokens` slots (a longer single sequence has one of its own).

    In each, sequences are in sorted order.
    """
    packs: list[Pack] = []
    members: list[int] = []
    size, previous = 0, ()
    for place in sorted(range(len(sequences)), key=lambda place: tuple(sequences[place])):
        ids = sequences[place]
        new = len(ids) - (_shared(previous, ids) if members else 0)
        if members and size + new > max_tokens:
            packs.append(_tree(sequences, members))
            members, size, new = [], 0, len(ids)
        members.append(place)
        size, previous = size + new, ids
    return [*packs, _tree(sequences, members)] if members else packs


def plain_packs(sequences: Sequence[Ids], max_tokens: int) -> list[Pack]:
    """Padded rows, longest first, at most `max_tokens` slots (or one row) each."""
    order = sorted(range(len(sequences)), key=lambda place: (-len(sequences[place]), place))
    packs: list[Pack] = []
    while order:
        longest = len(sequences[order[0]])
        rows = max(1, max_tokens // longest)
        packs.append(_rows(sequences, order[:rows], longest))
        order = order[rows:]
    return packs


def _shared(one: Ids, other: Ids) -> int:
    """How many tokens two sequences have in common at their beginning."""
    length = min(len(one), len(other))
    different = np.flatnonzero(np.asarray(one[:length]) != np.asarray(other[:length]))
    return int(different[0]) if len(different) else length


def _tree(sequences: Sequence[Ids], members: Sequence[int]) -> Pack:
    """The trie of sequences that come sorted: each adds, below what it shares with the one before, slots of its own."""
    ids: list[int] = []
    positions: list[int] = []
    slots: list[np.ndarray] = []
    for place in members:
        sequence = sequences[place]
        path = slots[-1][: _shared(sequences[members[len(slots) - 1]], sequence)] if slots else np.empty(0, dtype=np.int64)
        new = np.arange(len(ids), len(ids) + len(sequence) - len(path))
        ids += sequence[len(path) :]
        positions += range(len(path), len(sequence))
        slots.append(np.concatenate([path, new]))
    ends = np.arange(1, len(ids) + 1)
    for path in slots:
        ends[path] = np.maximum(ends[path], path[-1] + 1)
    return Pack(
        input_ids=np.array([ids]),
        positions=np.array([positions]),
        members=tuple(members),
        slots=tuple(slots),
        lengths=np.array([len(ids)]),
        ends=ends,
    )


def _rows(sequences: Sequence[Ids], members: Sequence[int], columns: int) -> Pack:
    lengths = np.array([len(sequences[place]) for place in members])
    input_ids = np.zeros((len(members), columns), dtype=np.int64)
    for row, place in enumerate(members):
        input_ids[row, : lengths[row]] = sequences[place]
    return Pack(
        input_ids=input_ids,
        positions=np.tile(np.arange(columns), (len(members), 1)),
        members=tuple(members),
        slots=tuple(row * columns + np.arange(length) for row, length in enumerate(lengths)),
        lengths=lengths,
    )
