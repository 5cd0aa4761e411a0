"""Nothing is dropped silently: every input key that a stage answers for is in its rows or in its rejects.

require_accounted(stage, frames, outcome, where="stage steps, part 3f…")     # ContractError names the lost keys
"""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

import polars as pl

from fullstep_data.plan import Planned
from fullstep_data.stage import Accounts, Outcome, Stage
from fullstep_data.store import Counts, Part
from schemas import ContractError

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def require_accounted(stage: Stage, frames: Sequence[pl.DataFrame], outcome: Outcome, where: str) -> None:
    """Check every `Accounts` of a stage on one part. frames: its inputs, in the order of its reads."""
    for accounts in stage.accounts:
        lost = _lost(accounts, _asked(stage, accounts, frames), outcome)
        if lost:
            raise ContractError(
                what=f"stage {stage.name} lost rows of {accounts.table}: ({', '.join(accounts.by)}) neither in "
                f"{stage.table} nor in rejects",
                where=where,
                count=len(lost),
                examples=lost,
                next_step="this is a fault of the stage, not of the data: please report it",
            )


def unaccounted(accounts: Accounts, frame: pl.DataFrame, outcome: Outcome) -> list[str]:
    """The keys of `frame` (parts joined by `/`) that are neither in the rows nor in the rejects, in order."""
    return _lost(accounts, filtered(frame, accounts.where), outcome)


def answered_for(stage: Stage, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The input rows of a part that its stage answers for: those of its first accounts, else all of its first read."""
    return _asked(stage, stage.accounts[0], frames) if stage.accounts else frames[0]


def rows_answered_for(stage: Stage, planned: Sequence[Planned], parts: Sequence[Part]) -> int:
    """The same of a whole stage, as a number: rows that several parts share (blocks of samples) count once."""
    index = read_index(stage, stage.accounts[0]) if stage.accounts else 0
    once = {tuple(source.key for source in one.inputs[index]): part.rows_in for one, part in zip(planned, parts, strict=True)}
    return sum(once.values())


def counted(parts: Sequence[Part], rows_in: int) -> Counts:
    """What became of the input rows of a whole stage."""
    rejected: Counter[str] = Counter()
    for part in parts:
        rejected.update(part.rejects.reasons if part.rejects else {})
    return Counts(rows_in=rows_in, kept=sum(part.rows for part in parts), rejected=dict(sorted(rejected.items())))


def read_index(stage: Stage, accounts: Accounts) -> int:
    """Which of the stage's reads the accounts speak of: the first of their table."""
    return next(index for index, read in enumerate(stage.reads) if read.table == accounts.table)


def filtered(frame: Frame, condition: str) -> Frame:
    """The rows that fulfil a condition in SQL; all of them where it is empty."""
    return frame.filter(pl.sql_expr(condition)) if condition else frame


def _asked(stage: Stage, accounts: Accounts, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows that the accounts speak of. frames: filtered already as their reads say."""
    index = read_index(stage, accounts)
    return frames[index] if stage.reads[index].where == accounts.where else filtered(frames[index], accounts.where)


def _lost(accounts: Accounts, frame: pl.DataFrame, outcome: Outcome) -> list[str]:
    expected = _keys(frame, accounts.by)
    dropped = outcome.rejects.filter(pl.col("table") == accounts.table)["key"]
    found = pl.concat([_keys(outcome.rows, accounts.by), dropped])
    lost = expected.filter(~expected.is_in(found.implode()))
    return lost.unique().sort().to_list() if lost.len() else []


def _keys(frame: pl.DataFrame, by: Sequence[str]) -> pl.Series:
    if len(by) == 1:
        return frame[by[0]].cast(pl.String)
    return frame.select(key=pl.concat_str([pl.col(name).cast(pl.String) for name in by], separator="/"))["key"]
