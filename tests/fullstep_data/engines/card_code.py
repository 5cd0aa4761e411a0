"""What the model cards of published PRMs do, one solution at a time and without any code of ours: the reference for our rewards.

    python -m tests.fullstep_data.engines.card_code qwen Qwen/Qwen2.5-Math-PRM-7B

prints the largest difference to ours over a few solutions of the PRM named. The tests do the same with random weights.

| format | after |
|---|---|
| math-shepherd | the card of peiyi9979/math-shepherd-mistral-7b-prm |
| rlhflow | RLHF-Reward-Modeling/math-rm/prm_evaluate.py, which the card of RLHFlow/Llama3.1-8B-PRM-Deepseek-Data names |
| skywork | skywork-o1-prm-inference (io_utils.py, prm_model.py), which the card of Skywork-o1-Open-PRM-Qwen-2.5-1.5B names |
| qwen | the card of Qwen/Qwen2.5-Math-PRM-7B, and the head of its modeling_qwen2_rm.py |
"""

import argparse
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from fullstep_data.config import MathShepherdFormat, PublicFormat, QwenFormat, RLHFlowFormat, SkyworkFormat
from fullstep_data.engines.protocol import ScoreRequest
from fullstep_data.engines.public_prm import PublicPRMTool

FORMATS: dict[str, PublicFormat] = {
    form.kind: form for form in (MathShepherdFormat(), RLHFlowFormat(), SkyworkFormat(), QwenFormat())
}


def math_shepherd(folder: Path, question: str, steps: Sequence[str]) -> list[float]:
    """logits at the step tags, softmax over + and -."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    candidates = [tokenizer.encode(sign)[-1] for sign in ("+", "-")]
    step_tag_id = tokenizer.encode("ки")[-1]
    output = "\n".join(f"{step} ки" for step in steps)
    input_id = torch.tensor([tokenizer.encode(f"{question} {output}")])
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(folder)(input_id).logits[:, :, candidates]
    scores = logits.softmax(dim=-1)[:, :, 0]
    return scores[input_id == step_tag_id].tolist()


def rlhflow(folder: Path, question: str, steps: Sequence[str]) -> list[float]:
    """One pass per step: the conversation ends with the answer `+`, and the third logit from the end is read."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    candidates = [tokenizer.encode(sign)[-1] for sign in ("+", "-")]
    conversation: list[dict[str, str]] = []
    rewards: list[float] = []
    for place, step in enumerate(steps):
        conversation.append({"content": step if place else f"{question} {step}", "role": "user"})
        conversation.append({"content": "+", "role": "assistant"})
        text = tokenizer.apply_chat_template(conversation, tokenize=False)
        input_ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
        with torch.no_grad():
            logits = model(input_ids).logits[:, -3, candidates]
        rewards.append(float(logits.softmax(dim=-1)[0, 0]))
    return rewards


def skywork(folder: Path, question: str, steps: Sequence[str]) -> list[float]:
    """prepare_input, then the value head on the hidden states where the flags are 1, and a sigmoid."""
    tokenizer, weights = AutoTokenizer.from_pretrained(folder), _weights(folder)
    input_ids = tokenizer.encode((tokenizer.bos_token or "") + question + "\n", add_special_tokens=False)
    flags = [0] * len(input_ids)
    line_end = tokenizer.encode("\n", add_special_tokens=False)[-1]
    for step in steps:
        step_ids = [*tokenizer.encode(step, add_special_tokens=False), line_end]
        flags += [0] * (len(step_ids) - 1) + [1]
        input_ids += step_ids
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder)(torch.tensor([input_ids])).last_hidden_state[0]
    values = torch.nn.functional.linear(hidden, weights["v_head.summary.weight"], weights["v_head.summary.bias"])[:, 0]
    return torch.sigmoid(values[torch.tensor(flags) == 1]).tolist()


def qwen(folder: Path, question: str, steps: Sequence[str]) -> list[float]:
    """make_step_rewards over the logits of Linear, ReLU, Linear on the last hidden states."""
    tokenizer, weights = AutoTokenizer.from_pretrained(folder), _weights(folder)
    messages = [
        {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
        {"role": "user", "content": question},
        {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
    ]
    conversation = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    input_ids = torch.tensor([tokenizer.encode(conversation, add_special_tokens=False)])
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder)(input_ids).last_hidden_state
    linear = torch.nn.functional.linear
    inner = torch.relu(linear(hidden, weights["score.0.weight"], weights["score.0.bias"]))
    logits = linear(inner, weights["score.2.weight"], weights["score.2.bias"])
    token_masks = input_ids == tokenizer.encode("<extra_0>", add_special_tokens=False)[0]
    probabilities = logits.softmax(dim=-1) * token_masks.unsqueeze(-1)
    sample = probabilities[0]
    return sample[sample != 0].view(-1, 2)[:, 1].tolist()


CARDS: dict[str, Callable[[Path, str, Sequence[str]], list[float]]] = {
    "math-shepherd": math_shepherd,
    "rlhflow": rlhflow,
    "skywork": skywork,
    "qwen": qwen,
}


def _weights(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= {name: value.float() for name, value in load_file(file).items() if name.startswith(("v_head", "score"))}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=CARDS)
    parser.add_argument("model", help="a folder, or a Hub id")
    arguments = parser.parse_args()
    folder = Path(arguments.model)
    if not folder.is_dir():
        folder = Path(snapshot_download(arguments.model))
    question = "Sue lives in a fun neighborhood with 18 houses. Half of them have a dog. How many houses have no dog?"
    solutions = [
        ["Half of 18 is 9.", "So 18 - 9 = 9 have no dog."],
        ["Half of 18 is 8.", "So 10 have none.", "\\boxed{10}"],
    ]
    requests: list[ScoreRequest] = []
    for steps in solutions:
        lines = [f"{step}\n" for step in steps]
        requests.append(ScoreRequest("", "".join(lines), tuple(accumulate(map(len, lines))), finished=True, question=question))
    (found,) = PublicPRMTool(str(folder), FORMATS[arguments.format]).open({}).score([requests])
    worst = 0.0
    for steps, rewards in zip(solutions, found, strict=True):
        expected = CARDS[arguments.format](folder, question, steps)
        print({"ours": rewards, "card": expected})
        worst = max(worst, *(abs(a - b) for a, b in zip(rewards, expected, strict=True)))
    print({"largest_difference": worst})


if __name__ == "__main__":
    main()
