"""What does an audit find of test problems that stand among training problems in disguise?

    python -m tests.benchmarks.audit --train gsm8k/train.jsonl --test gsm8k/test.jsonl [--each 20]

Of each disguise (`DISGUISES`) `--each` test problems are looked for, all in the whole test set, as `fs-data audit --against` and
`problems.audit` do; then the training problems as they are. The last line is one JSON object: by disguise, how many each way of
being the same found and how many were missed; `train`: the same of the training problems, none of which was planted.
"""

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from fullstep_data.overlap import Index, read_set

SEED = 3
WORDS = {
    "How many": "What number of",
    " has ": " owns ",
    " buys ": " purchases ",
    " each ": " every single ",
    " gets ": " receives ",
}


def synonyms(text: str, _: random.Random) -> str:
    for word, other in WORDS.items():
        text = text.replace(word, other)
    return text


def shuffled(text: str, drawn: random.Random) -> str:
    sentences = re.split(r"(?<=[.?]) ", text)
    drawn.shuffle(sentences)
    return " ".join(sentences)


def every(count: int) -> Callable[[str, random.Random], str]:
    """A word put in after every so many words."""
    return lambda text, _: " ".join(word + " indeed" * (place % count == 0) for place, word in enumerate(text.split(), start=1))


DISGUISES: dict[str, Callable[[str, random.Random], str]] = {
    "none": lambda text, _: text,
    "upper case": lambda text, _: text.upper(),
    "other punctuation": lambda text, _: text.replace(",", "").replace(".", "!"),
    "a sentence before": lambda text, _: f"Please solve the following problem and show your work. {text}",
    "first sentence gone": lambda text, _: text.partition(". ")[2] or text,
    "sentences shuffled": shuffled,
    "some synonyms": synonyms,
    "other numbers": lambda text, drawn: re.sub(r"\d+", lambda found: str(int(found[0]) + drawn.randint(1, 9)), text),
    "a word after every 6": every(6),
    "a word after every 4": every(4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="JSONL file in GSM8K's form")
    parser.add_argument("--test", type=Path, required=True, help="JSONL file in GSM8K's form")
    parser.add_argument("--each", type=int, default=20, help="test problems per disguise (default 20)")
    arguments = parser.parse_args()
    test = read_set(f"gsm8k={arguments.test}").questions
    index, drawn = Index(test), random.Random(SEED)
    told = {
        name: found(index, (hide(text, drawn) for text in drawn.sample(test, arguments.each))) for name, hide in DISGUISES.items()
    }
    sys.stdout.write(json.dumps({**told, "train": found(index, read_set(f"gsm8k={arguments.train}").questions)}) + "\n")


def found(index: Index, questions: Iterable[str]) -> dict[str, int]:
    """How many of the questions the index holds, by the way they are the same."""
    return dict(Counter(same.kind if (same := index.find(text)) else "missed" for text in questions))


if __name__ == "__main__":
    main()
