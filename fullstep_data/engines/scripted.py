"""The engine `scripted`: no model; works out the last sum of the prompt step by step and errs with a set probability per step.

    generator = ScriptedTool(ScriptedEngine(error_rate=0.2)).open({})
    generator.generate([Request("What is 4 - 1 + 7?", seed=3, max_tokens=200)])
    # Step 1: 4 - 1 = 3
    # Step 2: 3 + 7 = 10
    # Step 3: The answer is \\boxed{10}.

A wrong result goes on into the steps after it, as with a real model, and so does that of a prefix that it continues; a prompt
that ends in whole lines of such steps is continued after them. Tests, examples and the recipe `tiny` use it. Its tokens are the
bytes of the text in UTF-8.
"""

import ast
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from fullstep_data.config import ScriptedEngine
from fullstep_data.engines.continuation import cut, decoded
from fullstep_data.engines.protocol import Completion, Failure, NextTokens, Request
from fullstep_data.prompts import Chat, plain_prompt
from fullstep_data.stage import Tick, no_tick
from schemas.ids import sample_seed

# Shares of the odd endings that every real sampler has: a solution without a box, and one that never ends.
NO_BOX = 0.03
ENDLESS = 0.03
CONTEXT = 32768

_LONGEST_SUM = 1000
_TRIES = 100
_RESULT = re.compile(r"^Step \d+: .+ = (-?\d+(?:/\d+)?)\n", re.MULTILINE)
_RUN = re.compile(r"[0-9 ()+*/-]+")
_BEGUN = re.compile(r"^(?:Step \d+: .* = -?\d+(?:/\d+)?\n)+\Z", re.MULTILINE)
_NUMBER = r"-?\d+(?:/\d+)?"
_STEP = re.compile(r"^Step \d+: (.*)$", re.MULTILINE)
_SUM = re.compile(rf"(?P<first>{_NUMBER}) (?P<sign>[-+*/]) (?P<second>{_NUMBER}) = (?P<result>{_NUMBER})")
_BOXED = re.compile(rf"\\boxed\{{({_NUMBER})\}}")
# What a judge's question ends with, within so many characters.
_ASKED = re.compile(r"\byes\b.*\bno\b", re.IGNORECASE | re.DOTALL)
_QUESTION = 200
SURE = 0.9
"""Probability of a judge's verdict."""
_OPERATIONS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_SIGNS = {sign: operation for operation, sign in _OPERATIONS.items()}


@dataclass(frozen=True)
class ScriptedTool:
    """The tool `generator` of a recipe with the engine `scripted`."""

    config: ScriptedEngine

    def identity(self, models: Mapping[str, Path]) -> str:
        return self.open(models).identity

    def open(self, models: Mapping[str, Path]) -> "ScriptedGenerator":
        return ScriptedGenerator(self.config.error_rate)


class ScriptedGenerator:
    """Writes worked sums. error_rate: probability that a step's result is wrong.

    At temperature 0 the prompt takes the place of the seed, so every greedy completion of a prompt is the same one.
    """

    def __init__(self, error_rate: float = 0.2) -> None:
        self.identity = f"scripted:{error_rate:g}"
        self._error_rate = error_rate

    def render(self, system: str, user: str, chat: Chat) -> str:
        """Plain text whatever `chat` says: there is no tokenizer."""
        return plain_prompt(system, user)

    def generate(self, requests: Sequence[Request], tick: Tick = no_tick) -> list[Completion | Failure]:
        """One result per request, in order. Raises nothing: a prompt without a sum gets a solution without an answer."""
        results: list[Completion | Failure] = []
        for request in requests:
            results.append(self._complete(request))
            tick(len(results), len(requests))
        return results

    def next_tokens(self, prompts: Sequence[str], top: int, tick: Tick = no_tick) -> list[NextTokens | Failure]:
        """See `Judge.next_tokens`. Where a prompt asks for yes or no at its end: is the last step that it shows worked out right?

        Such a verdict errs as a step does. Any other prompt goes on with the first letter of its greedy completion for certain.
        """
        told: list[NextTokens | Failure] = []
        for prompt in prompts:
            made = self._complete(Request(prompt, 0, 1, temperature=0.0))
            if isinstance(made, Failure):
                told.append(made)
            elif _ASKED.search(prompt[-_QUESTION:]):
                right = _last_step_right(prompt) != (random.Random(sample_seed(prompt, 1, 0)).random() < self._error_rate)
                words = (" Yes", " No") if right else (" No", " Yes")
                told.append(((words[0], math.log(SURE)), (words[1], math.log(1 - SURE)))[:top])
            else:
                told.append(((made.text, 0.0),))
            tick(len(told), len(prompts))
        return told

    def _complete(self, request: Request) -> Completion | Failure:
        prompt_tokens = len(request.prompt.encode())
        read = prompt_tokens + len(request.prefix)
        if read >= CONTEXT:
            return Failure("prompt longer than the context", f"{read} bytes; the engine reads {CONTEXT}")
        seed = request.seed if request.temperature > 0 else sample_seed(request.prompt, 0, 0)
        whole = self._continued(request, random.Random(seed))
        text, end = decoded(_text, request, whole)
        kept = text[:end].encode()
        limit = min(request.max_tokens, CONTEXT - read)
        if len(kept) > limit or (end is None and len(kept) == limit):
            # Bytes that make half a character are cut with it.
            text = kept[:limit].decode(errors="ignore")
            return Completion(text, tuple(text.encode()), "length", prompt_tokens)
        if end is None:
            return Completion(kept.decode(), tuple(kept), "eos", prompt_tokens)
        return Completion(kept.decode(), tuple(kept), "stop", prompt_tokens, tuple(whole[len(kept) : _stop_end(request, whole)]))

    def cut(self, text: str, token_ids: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int]]:
        """The fewest bytes that hold `text` up to each stop (see `Generator.cut`)."""
        return cut(_text, text, token_ids, stops)

    def _continued(self, request: Request, chance: random.Random) -> bytes:
        """What stands after the prefix. Solutions with its results are drawn until one begins as it does; a prefix that none
        would begin with has nothing after it.
        """
        begun = bytes(request.prefix)
        results = [Fraction(result) for result in _RESULT.findall(_text(begun))]
        for _ in range(_TRIES):
            whole = self._solution(request.prompt, chance, results).encode()
            if whole.startswith(begun):
                return whole[len(begun) :]
        return b""

    def _solution(self, prompt: str, chance: random.Random, results: Sequence[Fraction]) -> str:
        ending = chance.random()
        begun = _BEGUN.search(prompt)
        question = prompt[: begun.start()] if begun else prompt
        done = [Fraction(line.rpartition(" = ")[2]) for line in begun.group().splitlines()] if begun else []
        lines = _work(question, self._error_rate, chance, [*done, *results])
        steps = [f"Step {k}: {line}" for k, line in enumerate(lines, start=1)][len(done) :]
        if ending < ENDLESS:
            last = len(done) + len(steps)
            return "\n".join([*steps[:-1], f"Step {last}: Let us check" + " again and again" * (CONTEXT // 16)])
        if ending < ENDLESS + NO_BOX:
            steps = steps[:-1]
        return "\n".join(steps)


def _stop_end(request: Request, sampled: bytes) -> int:
    """How many of the sampled bytes there are up to the end of the stop string that ends first."""
    begun, ends = bytes(request.prefix), list[int]()
    for stop in (one.encode() for one in request.stop):
        place = (begun + sampled).find(stop, max(0, len(begun) - len(stop) + 1))
        if place >= 0:
            ends.append(place + len(stop) - len(begun))
    return min(ends)


def _last_step_right(prompt: str) -> bool:
    """Of the last line "Step k: a + b = c": is c the sum? Of "Step k: … \\boxed{c}": is c the result of the step before?"""
    lines = _STEP.findall(prompt)
    worked = _SUM.fullmatch(lines[-1]) if lines else None
    if worked:
        try:
            first, second, result = (Fraction(worked[name]) for name in ("first", "second", "result"))
            return _apply(_SIGNS[worked["sign"]](), first, second) == result
        except ZeroDivisionError:
            return False
    boxed = _BOXED.search(lines[-1]) if lines else None
    before = _SUM.fullmatch(lines[-2]) if len(lines) > 1 else None
    return bool(boxed and before and boxed[1] == before["result"])


def _text(data: Sequence[int]) -> str:
    return bytes(data).decode(errors="replace")


def _work(prompt: str, error_rate: float, chance: random.Random, results: Sequence[Fraction]) -> list[str]:
    """One line per operation of the prompt's last sum, and one with the answer. results: those of the first operations, where
    they stand already.
    """
    tree = _last_sum(prompt)
    if tree is None:
        return ["There is nothing to work out.", "So there is no answer."]
    lines: list[str] = []

    def value(node: ast.expr) -> Fraction:
        match node:
            case ast.Constant(value=int(number)):
                return Fraction(number)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.BinOp(left=left, op=op, right=right):
                first, second = value(left), value(right)
                result = _apply(op, first, second)
                if chance.random() < error_rate:
                    result += chance.choice((-10, -2, -1, 1, 2, 10))
                if len(lines) < len(results):  # numbers were drawn all the same: a solution goes on as it did
                    result = results[len(lines)]
                lines.append(f"{first} {_OPERATIONS[type(op)]} {second} = {result}")
                return result
            case _:
                raise ValueError(f"not part of a sum: {ast.dump(node)}")

    try:
        answer = value(tree)
    except ZeroDivisionError:
        return [*lines, "A division by zero has no result.", "So there is no answer."]
    return [*lines, f"The answer is \\boxed{{{answer}}}."]


def _last_sum(prompt: str) -> ast.expr | None:
    """The last run of numbers, + - * /, and brackets that is a sum of two terms or more; None where there is none."""
    allowed = (ast.BinOp, ast.UnaryOp, ast.Constant, ast.USub, *_OPERATIONS)
    for run in reversed(_RUN.findall(prompt)):
        try:
            tree = ast.parse(run[:_LONGEST_SUM].strip(), mode="eval").body
        except SyntaxError:
            continue
        nodes = list(ast.walk(tree))
        if all(isinstance(node, allowed) for node in nodes) and any(isinstance(node, ast.BinOp) for node in nodes):
            return tree
    return None


def _apply(op: ast.operator, first: Fraction, second: Fraction) -> Fraction:
    match op:
        case ast.Add():
            return first + second
        case ast.Sub():
            return first - second
        case ast.Mult():
            return first * second
        case _:
            return first / second
