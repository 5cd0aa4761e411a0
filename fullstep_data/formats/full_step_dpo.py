"""The data file of the Full-Step-DPO release: one JSON list, one object per problem.

    [{"prompt": "… Step 1: ", "responses": ["3 + 4 = 7.\\nStep 2: …", "…"], "rewards": [1, 0],
      "rewards_list": [[0.9, 0.8], [0.3, 0.1]], "gold_answer": "7"}]

The prompt is templated already. Every response is preferred to every one with a lower reward. rewards_list holds a reward per
step; the release finds steps by "\\nStep", we by their labels. A response with another number of steps than rewards is refused.
"""

from collections.abc import Iterator

from pydantic import Field, field_validator

from fullstep_data.config import Config, StepsConfig
from fullstep_data.formats.group import (
    Format,
    Group,
    Left,
    Pair,
    Reader,
    Record,
    Solution,
    Unusable,
    Writer,
    optional_text,
    text_of,
    texts_of,
)
from fullstep_data.steps import split

FIRST = "Step 1: "
HOLE = "{question}"


class ReadOptions(Config):
    """Options of the import."""

    template: str | None = Field(
        default=None, description="the prompt with {question} for the question (else the whole prompt is the question)"
    )

    @field_validator("template")
    @classmethod
    def _has_a_hole(cls, template: str | None) -> str | None:
        if template is not None and HOLE not in template:
            raise ValueError(f"template has no {HOLE}")
        return template


class WriteOptions(Config):
    """Options of the export."""

    gold_answer: bool = Field(default=True, description="the column gold_answer")


def read(record: Record, options: ReadOptions) -> Iterator[Group]:
    """One record is one problem with its responses and all their pairs."""
    prompt, responses = text_of(record, "prompt"), texts_of(record, "responses")
    rewards, per_step = record.get("rewards"), record.get("rewards_list") or [[] for _ in responses]
    if not isinstance(rewards, list) or not all(isinstance(one, int | float) for one in rewards):
        raise Unusable("rewards is not a list of numbers")
    if len(rewards) != len(responses) or not isinstance(per_step, list) or len(per_step) != len(responses):
        raise Unusable("not as many rewards as responses")
    solutions = tuple(_solution(text, steps) for text, steps in zip(responses, per_step, strict=True))
    places = range(len(responses))
    order = [(better, worse) for better in places for worse in places if rewards[better] > rewards[worse]]
    pairs = tuple(Pair(better, worse, float(rewards[better]), float(rewards[worse])) for better, worse in order)
    notes = () if pairs else ("no response is better than another: no pairs",)
    question = _question(prompt, options.template)
    yield Group(
        question, answer=optional_text(record, "gold_answer"), prompt=prompt, solutions=solutions, pairs=pairs, notes=notes
    )


def _solution(text: str, rewards: object) -> Solution:
    steps = tuple(text[start:stop] for start, stop in split(text, StepsConfig()))
    if not isinstance(rewards, list) or not all(isinstance(reward, int | float) for reward in rewards):
        raise Unusable("rewards_list is not a list of lists of numbers")
    if rewards and len(rewards) != len(steps):
        raise Unusable("not as many rewards as steps", f"{len(rewards)} rewards, {len(steps)} steps: {text[:60]}")
    return Solution(steps, rewards=tuple(float(reward) for reward in rewards))


def _question(prompt: str, template: str | None) -> str:
    if template is None:
        return prompt.strip()
    before, after = template.split(HOLE, 1)
    if not prompt.startswith(before) or not prompt.endswith(after) or len(prompt) <= len(before) + len(after):
        raise Unusable("the prompt does not fit the template", prompt[:80])
    return prompt[len(before) : len(prompt) - len(after)].strip()


def write(group: Group, options: WriteOptions) -> Iterator[Record | Left]:
    """One record per problem with pairs."""
    if not group.pairs:
        yield Left("the problem has no pairs")
        return
    places = list(dict.fromkeys(place for pair in group.pairs for place in (pair.chosen, pair.rejected)))
    solutions = [group.solutions[place] for place in places]
    rewards = _rewards(group, places)
    if rewards is None:
        yield Left("no order of the responses gives just these pairs")
    elif len({solution.prompt for solution in solutions}) > 1:
        yield Left("the responses have different prompts")
    elif not all(solution.rewards for solution in solutions):
        yield Left("a response has no step rewards")
    else:
        prompt, texts = solutions[0].prompt or "", [solution.text for solution in solutions]
        if all(text.startswith(FIRST) and len(text) > len(FIRST) for text in texts):
            prompt, texts = prompt + FIRST, [text.removeprefix(FIRST) for text in texts]
        elif not prompt.endswith(FIRST):
            yield Left("the prompt does not end in 'Step 1: ', as the release expects", kept=True)
        if {score for pair in group.pairs for score in (pair.chosen_score, pair.rejected_score)} != set(rewards):
            yield Left("scores of whole responses became 1 and 0", kept=True)
        record: Record = {"prompt": prompt, "responses": texts, "rewards": rewards}
        record["rewards_list"] = [list(solution.rewards) for solution in solutions]
        if options.gold_answer and group.answer is not None:
            record["gold_answer"] = group.answer
        yield record


def _rewards(group: Group, places: list[int]) -> list[float] | None:
    """Rewards whose order gives exactly the pairs of the group: their scores if those do, else 1 and 0 if those do."""
    wanted = {(pair.chosen, pair.rejected) for pair in group.pairs}
    scores: dict[int, set[float | None]] = {}
    for pair in group.pairs:
        scores.setdefault(pair.chosen, set()).add(pair.chosen_score)
        scores.setdefault(pair.rejected, set()).add(pair.rejected_score)
    given = {place: found.copy().pop() for place, found in scores.items() if len(found) == 1}
    tries: list[dict[int, float]] = [{place: score for place, score in given.items() if score is not None}]
    tries.append({place: float(any(place == chosen for chosen, _ in wanted)) for place in places})
    for rewards in tries:
        if len(rewards) == len(places):
            order = {(better, worse) for better in places for worse in places if rewards[better] > rewards[worse]}
            if order == wanted:
                return [rewards[place] for place in places]
    return None


FULL_STEP_DPO = Format(
    name="full-step-dpo",
    about="the release of Full-Step-DPO: prompt, responses, rewards, rewards_list",
    looks_like=lambda record: {"prompt", "responses", "rewards"} <= set(record),
    reader=Reader(read, ReadOptions, pool=True, lost=("who gave the rewards: the format does not say",)),
    writer=Writer(write, WriteOptions, needs=("pairs", "step_scores"), lost=("labels, and responses without a pair",)),
)
