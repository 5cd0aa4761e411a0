"""What every engine must do, whatever runs behind it. A new engine joins by a line in ENGINES.

An engine is made by a function (folder for its files, variant) -> engine; the variant "other" has another identity.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fullstep_data.engines.protocol import Completion, Failure, Generator, NextTokens, Request
from tests.fullstep_data.engines.all_engines import ENGINES, SERVERS

MARKS = {"vllm": pytest.mark.vllm, "llama": pytest.mark.llama}


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in ENGINES], scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[None]:
    with SERVERS:
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def engine(name: str, folder: Path) -> Generator:
    return ENGINES[name][0](folder, "one")


def sum_requests(count: int, **settings: Any) -> list[Request]:
    """Requests with prompts of several lengths, three seeds to a prompt."""
    sums = ("4 + 3", "12 - 5 + 8", "7 - 9", "3 + 3 + 3 - 1", "20 * 2 + 1")
    chosen = {"max_tokens": 24, **settings}
    return [Request(f"Problem: {sums[index // 3 % len(sums)]} =\n", seed=1000 + index, **chosen) for index in range(count)]


def completed(engine: Generator, requests: list[Request]) -> list[Completion]:
    results = engine.generate(requests)
    assert len(results) == len(requests)
    assert all(isinstance(result, Completion) for result in results)
    return [result for result in results if isinstance(result, Completion)]


def ids(completion: Completion) -> tuple[int, ...]:
    assert completion.token_ids is not None
    return completion.token_ids


def test_no_requests_give_no_results(engine: Generator) -> None:
    assert engine.generate([]) == []


def test_results_stand_in_the_order_of_their_requests(engine: Generator) -> None:
    requests = sum_requests(12, temperature=0.0)
    assert len(set(completed(engine, requests))) > 2
    assert completed(engine, requests[::-1]) == completed(engine, requests)[::-1]


def test_a_request_gives_the_same_sample_alone_and_among_others(engine: Generator) -> None:
    requests = sum_requests(20)
    together = completed(engine, requests)
    assert together == [completed(engine, [request])[0] for request in requests]


def test_a_new_engine_repeats_every_sample(engine: Generator, name: str, folder: Path) -> None:
    requests = sum_requests(6)
    assert completed(ENGINES[name][0](folder, "one"), requests) == completed(engine, requests)


def test_seeds_decide_samples_and_positions_do_not(engine: Generator) -> None:
    prompt = "Problem: 12 - 5 + 8 - 9 + 3 =\n"
    requests = [Request(prompt, seed=seed, max_tokens=60) for seed in (1, 2, 3, 4, 5, 6, 1)]
    texts = [completion.text for completion in completed(engine, requests)]
    assert texts[0] == texts[6]
    assert len(set(texts)) > 1


def test_seeds_that_share_their_low_bits_are_different_seeds(engine: Generator) -> None:
    prompt = "Problem: 12 - 5 + 8 - 9 + 3 - 4 + 5 - 6 + 7 - 8 =\n"
    seeds = [5 + (shift << 32) for shift in range(1, 6)]
    assert len(set(completed(engine, [Request(prompt, seed=seed, max_tokens=100) for seed in seeds]))) > 1


def test_greedy_completions_do_not_depend_on_the_seed(engine: Generator) -> None:
    first, second = completed(engine, [Request("4 + 3 - 2 =", seed, 20, temperature=0.0) for seed in (1, 2)])
    assert first == second


def test_a_stop_string_ends_the_text_and_is_cut_off(engine: Generator, name: str) -> None:
    stop = ENGINES[name][2]
    free = completed(engine, sum_requests(15, max_tokens=200))
    stopped = completed(engine, sum_requests(15, max_tokens=200, stop=(stop, "never written")))
    assert any(stop in completion.text for completion in free)
    for without, with_stop in zip(free, stopped, strict=True):
        if stop in without.text:
            assert with_stop.text == without.text[: without.text.index(stop)]
            assert with_stop.finish_reason == "stop"
        else:
            assert with_stop == without


def test_the_earliest_of_several_stop_strings_counts(engine: Generator, name: str) -> None:
    stop = ENGINES[name][2]
    one = completed(engine, sum_requests(6, max_tokens=200, stop=(stop,)))
    both = completed(engine, sum_requests(6, max_tokens=200, stop=(stop + "never", stop)))
    assert one == both


def test_max_tokens_cut_the_completion(engine: Generator) -> None:
    for completion in completed(engine, sum_requests(9, max_tokens=5)):
        assert len(ids(completion)) == 5
        assert completion.finish_reason == "length"


def test_each_request_keeps_its_own_limit_in_a_batch(engine: Generator) -> None:
    prompt = "Problem: 12 - 5 + 8 =\n"
    limits = (1, 7, 3, 12)
    results = completed(engine, [Request(prompt, seed=3, max_tokens=limit) for limit in limits])
    assert [len(ids(result)) for result in results] == list(limits)
    longest = ids(results[3])
    assert all(longest[: len(ids(result))] == ids(result) for result in results)


def test_settings_of_one_row_leave_the_others_alone(engine: Generator) -> None:
    warm = [Request("4 + 3 - 2 =", seed=seed, max_tokens=20) for seed in range(4)]
    cold = [Request("4 + 3 - 2 =", seed=seed, max_tokens=20, temperature=0.0) for seed in range(4)]
    narrow = [Request("4 + 3 - 2 =", seed=seed, max_tokens=20, top_p=0.3) for seed in range(4)]
    mixed = [request for three in zip(warm, cold, narrow, strict=True) for request in three]
    apart = [*completed(engine, warm), *completed(engine, cold), *completed(engine, narrow)]
    together = completed(engine, mixed)
    assert [*together[0::3], *together[1::3], *together[2::3]] == apart


def test_token_ids_decode_to_the_text(engine: Generator, name: str) -> None:
    decode, stop = ENGINES[name][1:]
    for completion in completed(engine, sum_requests(9, max_tokens=40)):
        assert decode(ids(completion)) == completion.text
    for completion in completed(engine, sum_requests(9, max_tokens=200, stop=(stop,))):
        assert decode(ids(completion)).startswith(completion.text)
        assert not ids(completion) or not decode(ids(completion)[:-1]).startswith(completion.text)


def test_any_unicode_may_stand_in_a_prompt(engine: Generator) -> None:
    prompts = ("Aufgabe: 3 + 4 = ?  ÄÖÜ", "问题:4 + 3 − 2", "🧮👩🏽‍🔬 4 + 3", "\u202e\x00\ufeff 4 + 3", " ")
    results = completed(engine, [Request(prompt, seed=1, max_tokens=8) for prompt in prompts])
    assert all(result.prompt_tokens > 0 for result in results)


def test_a_prompt_longer_than_the_context_is_a_failure_and_the_rest_goes_on(engine: Generator) -> None:
    long = Request("7 + 7 " * 10_000, seed=1, max_tokens=5)
    short = sum_requests(2)
    results = engine.generate([short[0], long, short[1]])
    assert isinstance(results[1], Failure)
    assert results[1].reason == "prompt longer than the context"
    assert [results[0], results[2]] == completed(engine, short)


def test_progress_never_goes_back_and_ends_at_the_total(engine: Generator) -> None:
    calls: list[tuple[int, int]] = []
    engine.generate(sum_requests(20), lambda done, total, note="": calls.append((done, total)))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert len(calls) > 2
    assert len({total for _, total in calls}) == 1
    assert calls[-1][0] == calls[-1][1]


def test_the_identity_is_that_of_the_content(engine: Generator, name: str, folder: Path) -> None:
    make = ENGINES[name][0]
    assert make(folder, "one").identity == engine.identity
    assert make(folder, "other").identity != engine.identity
    assert engine.identity.startswith("server:" if name == "llama" else f"{name}:")


def test_plain_prompts_hold_system_and_user_text(engine: Generator) -> None:
    assert engine.render("", "4 + 3", "never").endswith("4 + 3")
    assert engine.render("Be brief.", "4 + 3", "never").endswith("Be brief.\n\n4 + 3")
    assert engine.render("", "4 + 3", "auto") == engine.render("", "4 + 3", "never")


def continued(request: Request, completion: Completion, count: int) -> Request:
    """The request that goes on after the first `count` ids of a completion."""
    assert request.max_tokens > count
    return replace(request, prefix=ids(completion)[:count], max_tokens=request.max_tokens - count)


def test_a_cut_takes_the_fewest_ids_that_hold_the_text(engine: Generator, name: str) -> None:
    decode = ENGINES[name][1]
    for completion in completed(engine, sum_requests(9, max_tokens=60)):
        text, tokens = completion.text, ids(completion)
        stops = sorted({0, 1, len(text) // 2, len(text)})
        for stop, (count, characters) in zip(stops, engine.cut(text, tokens, stops), strict=True):
            assert decode(tokens[:count]).startswith(text[:stop])
            assert count == 0 or not decode(tokens[: count - 1]).startswith(text[:stop])
            assert decode(tokens).startswith(text[:characters])
            assert len(decode(tokens[:count])) >= characters


def test_a_greedy_completion_goes_on_from_its_own_prefix_as_it_did(engine: Generator) -> None:
    requests = sum_requests(15, temperature=0.0, max_tokens=60)
    wholes = completed(engine, requests)
    for share in (0.2, 0.5, 0.9):
        counts = [int(share * len(ids(whole))) for whole in wholes]
        rests = completed(engine, [continued(*three) for three in zip(requests, wholes, counts, strict=True)])
        for whole, rest, count in zip(wholes, rests, counts, strict=True):
            assert (*ids(whole)[:count], *ids(rest)) == ids(whole)
            assert rest.finish_reason == whole.finish_reason
            assert rest.prompt_tokens == whole.prompt_tokens
            ((_, characters),) = engine.cut(whole.text, ids(whole)[:count], [len(whole.text)])
            assert whole.text[:characters] + rest.text == whole.text


def test_a_continuation_is_the_same_alone_and_among_others(engine: Generator) -> None:
    requests = sum_requests(12, max_tokens=60)
    mixed = [
        continued(request, whole, index % 3 * 4)
        for index, (request, whole) in enumerate(zip(requests, completed(engine, requests), strict=True))
    ]
    together = completed(engine, mixed)
    assert together == [completed(engine, [request])[0] for request in mixed]
    assert len(set(together)) > 5


def test_seeds_decide_continuations(engine: Generator) -> None:
    first = Request("Problem: 12 - 5 + 8 - 9 + 3 - 4 + 5 =\n", seed=1, max_tokens=150)
    (whole,) = completed(engine, [first])
    requests = [replace(continued(first, whole, 4), seed=seed) for seed in (1, 2, 3, 4, 5, 6, 1)]
    texts = [completion.text for completion in completed(engine, requests)]
    assert texts[0] == texts[6]
    assert len(set(texts)) > 1


def test_a_stop_string_that_begins_in_the_prefix_ends_the_completion(engine: Generator) -> None:
    request = Request("Problem: 12 - 5 + 8 =\n", seed=3, max_tokens=60, temperature=0.0)
    (whole,) = completed(engine, [request])
    count = len(ids(whole)) // 2
    ((_, before),) = engine.cut(whole.text, ids(whole)[:count], [len(whole.text)])
    for last in (before + 1, before + 3):  # the stop string ends one and three characters behind the border
        stop = whole.text[before - 1 : last]
        assert stop not in whole.text[:before]
        (rest,) = completed(engine, [replace(continued(request, whole, count), stop=(stop,))])
        assert (rest.text, rest.token_ids, rest.finish_reason) == ("", (), "stop")
    stop = whole.text[before + 2 : before + 5]  # and one that lies behind it
    place = whole.text.index(stop, before - 2)
    (rest,) = completed(engine, [replace(continued(request, whole, count), stop=(stop,))])
    assert (rest.text, rest.finish_reason) == (whole.text[before:place], "stop")


def test_a_stop_string_in_the_prefix_is_over(engine: Generator) -> None:
    """Else a search by steps, whose prefixes end with the stop string of the step before, would stop at its first token."""
    request = Request("Problem: 12 - 5 + 8 =\n", seed=3, max_tokens=60, temperature=0.0)
    (whole,) = completed(engine, [request])
    count = len(ids(whole)) // 2
    ((_, before),) = engine.cut(whole.text, ids(whole)[:count], [len(whole.text)])
    for length in (1, 2, 3):
        stop = whole.text[before - length : before]
        (rest,) = completed(engine, [replace(continued(request, whole, count), stop=(stop,))])
        place = whole.text.find(stop, before - length + 1)
        wanted = (whole.text[before:], whole.finish_reason) if place < 0 else (whole.text[before : max(before, place)], "stop")
        assert (rest.text, rest.finish_reason) == wanted


def test_a_prefix_counts_against_the_context(engine: Generator) -> None:
    prompt = "7 + 7 "
    (whole,) = completed(engine, [Request(prompt, seed=1, max_tokens=30)])
    prefix = (ids(whole) * 40_000)[:40_000]
    (result,) = engine.generate([Request(prompt, seed=1, max_tokens=5, prefix=prefix)])
    assert isinstance(result, Failure)
    assert result.reason == "prompt longer than the context"


def test_the_ids_of_a_stop_string_are_told_apart(engine: Generator, name: str) -> None:
    decode, stop = ENGINES[name][1:]
    for completion in completed(engine, sum_requests(15, max_tokens=200, stop=(stop,))):
        whole = decode((*ids(completion), *completion.beyond))
        if completion.finish_reason == "stop":
            assert whole.startswith(completion.text + stop)
        else:
            assert completion.beyond == ()


# What a judge is asked for


def peeked(engine: Any, prompts: list[str], top: int = 5) -> list[NextTokens]:
    results = engine.next_tokens(prompts, top)
    assert not any(isinstance(result, Failure) for result in results), results
    return results


def test_next_tokens_are_the_most_probable_first_and_no_more_than_asked_for(engine: Generator) -> None:
    prompts = [request.prompt for request in sum_requests(15)]
    for tokens in peeked(engine, prompts):
        logprobs = [logprob for _, logprob in tokens]
        assert 1 <= len(tokens) <= 5
        assert logprobs == sorted(logprobs, reverse=True)
        assert math.fsum(map(math.exp, logprobs)) <= 1 + 1e-4
    assert all(len(tokens) == 1 for tokens in peeked(engine, prompts, top=1))
    assert peeked(engine, []) == []


def test_the_most_probable_next_token_is_the_greedy_one(engine: Generator) -> None:
    requests = sum_requests(15, temperature=0.0, max_tokens=1)
    prompts = [request.prompt for request in requests]
    for tokens, greedy in zip(peeked(engine, prompts), completed(engine, requests), strict=True):
        assert tokens[0][0] == greedy.text or greedy.finish_reason == "eos"


def test_next_tokens_are_the_same_alone_and_among_others(engine: Generator) -> None:
    prompts = [f"{request.prompt}{'4 + 3 ' * (index % 4)}" for index, request in enumerate(sum_requests(12))]
    for tokens, prompt in zip(peeked(engine, prompts), prompts, strict=True):
        (alone,) = peeked(engine, [prompt])
        assert [logprob for _, logprob in alone] == pytest.approx([logprob for _, logprob in tokens], abs=1e-4)
        assert alone[0][0] == tokens[0][0]


def test_a_prompt_too_long_to_judge_is_a_failure_and_the_rest_is_told(engine: Any) -> None:
    short = sum_requests(1)[0].prompt
    first, long, last = engine.next_tokens([short, "7 + 7 " * 10_000, short], 3)
    assert isinstance(long, Failure)
    assert long.reason == "prompt longer than the context"
    (alone,) = peeked(engine, [short], 3)
    for told in (first, last):
        assert [logprob for _, logprob in told] == pytest.approx([logprob for _, logprob in alone], abs=1e-4)


def test_progress_of_judging_ends_at_the_total(engine: Any) -> None:
    calls: list[tuple[int, int]] = []
    engine.next_tokens(
        [request.prompt for request in sum_requests(9)], 2, lambda done, total, note="": calls.append((done, total))
    )
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (9, 9)
