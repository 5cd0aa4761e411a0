"""The tables of an experiment, declared as all tables are; they lie beside each other in its folder as Parquet.

    RESULTS.check(frame, where="results")

They are no tables of a dataset: a dataset holds what one recipe made, these hold what many recipes came to.
"""

import polars as pl

from schemas import Column, Rule, Table

_WHO = (
    Column(
        "family", pl.String, "Family of problems; where a recipe was given, of answers and results the test set, else the recipe."
    ),
    Column("seed", pl.Int32, "Seed of problems, mistakes, base model, samples and trainings."),
    Column("method", pl.String, "Method, as in cli/experiment_methods.py; base: before any training."),
)

TRIALS = Table(
    name="trials",
    version=2,
    grain="one training",
    doc="Every method has the same search: one training per learning rate, judged on the validation problems.",
    key=("family", "seed", "method", "learning_rate"),
    columns=(
        *_WHO,
        Column("learning_rate", pl.Float64, "Highest learning rate."),
        Column("validation_accuracy", pl.Float64, "Greedy accuracy on the validation problems.", unit="probability"),
        Column("validation_n", pl.Int32, "How many those are.", unit="problems"),
        Column("pairs", pl.Int32, "Pairs that it learnt from.", unit="pairs"),
        Column(
            "chosen_change",
            pl.Float64,
            "log-prob of a chosen solution at the end of the training less that under the reference: mean over its last tenth.",
            nullable=True,
        ),
        Column("rejected_change", pl.Float64, "The same of a rejected solution.", nullable=True),
        Column(
            "cpu_seconds",
            pl.Float64,
            "CPU time of reference log-probs, training and validation, in the call that ended it.",
            unit="seconds",
        ),
    ),
)

_TESTED = (
    Column("test_correct", pl.Int32, "Test problems answered correctly.", unit="problems"),
    Column("test_n", pl.Int32, "Test problems.", unit="problems"),
    Column("test_accuracy", pl.Float64, "test_correct / test_n.", unit="probability"),
)
_COUNTED = (Rule("no more right ones than problems", "test_correct >= 0 AND test_correct <= test_n"),)

RESULTS = Table(
    name="results",
    version=2,
    grain="one method of one seed under one decoding rule, on the test problems",
    doc="The learning rate is the best on validation, the smaller of equals; its policy alone answered the test problems.",
    key=("family", "seed", "method", "decoding"),
    columns=(
        *_WHO,
        Column("decoding", pl.String, "Decoding rule."),
        Column("settings", pl.String, "What of the recipe the method changes, as JSON."),
        Column("learning_rate", pl.Float64, "Chosen on validation; null for base.", nullable=True),
        Column("validation_accuracy", pl.Float64, "Greedy, of the chosen; null for base.", unit="probability", nullable=True),
        *_TESTED,
        Column(
            "completions",
            pl.Float64,
            "Drawn for it in all, per training problem: samples of every round, rollouts, samples of its own PRM.",
        ),
        Column(
            "cpu_seconds", pl.Float64, "CPU time of search and test; of base: of base model, dataset and test.", unit="seconds"
        ),
    ),
    rules=_COUNTED,
)

ANSWERS = Table(
    name="answers",
    version=2,
    grain="one greedy answer to a test problem",
    doc="What paired tests are made of.",
    key=("family", "seed", "method", "problem_id"),
    columns=(
        *_WHO,
        Column("problem_id", pl.String, "The problem."),
        Column(
            "operations",
            pl.Int32,
            "How many operations it asks for; null where that is not known.",
            unit="operations",
            nullable=True,
        ),
        Column("correct", pl.Boolean, "Is the answer right?"),
    ),
)

FIGURES = Table(
    name="figures",
    version=2,
    grain="one figure of the data of one seed",
    doc="What explains the results: how good the PRM is against the truth, how far step weights differ, where weight goes.",
    key=("family", "seed", "method", "figure"),
    columns=(
        *_WHO[:2],
        Column("method", pl.String, "The method whose data it is of; base: the data that all methods share."),
        Column("figure", pl.String, "What was measured, as in cli/experiment_figures.py."),
        Column("value", pl.Float64, "The figure; null where the data do not define it.", nullable=True),
    ),
)

GRADED = Table(
    name="graded",
    version=1,
    grain="one decoding rule over the stored samples of one policy, under one PRM",
    doc="PRMs of graded quality decide over the same answers to the test problems, `hybrid` calibrated on validation problems.",
    key=("family", "seed", "method", "prm", "decoding"),
    columns=(
        *_WHO,
        Column("prm", pl.String, "The method whose PRM it is; base: that of the data which methods share."),
        Column(
            "auc",
            pl.Float64,
            "AUC of its rewards for steps of these samples against the truth of the prefix; null where all are alike.",
            nullable=True,
        ),
        Column("decoding", pl.String, "Decoding rule."),
        Column("weight", pl.Float64, "Of the rule hybrid: how far it listens to the PRM; 0: Self-Consistency.", nullable=True),
        *_TESTED,
    ),
    rules=_COUNTED,
)
