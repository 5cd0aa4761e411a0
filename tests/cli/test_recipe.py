import ast
from pathlib import Path

import pytest

from cli.recipe import Recipe, builtin_recipes, load, recipe_text
from cli.recipe_keys import all_keys, keys_at, user_path
from schemas.errors import InputError
from tests.cli.commands import REPOSITORY

SCHEMA = Recipe.model_json_schema()


def refusal(name: str, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load(name, overrides)
    assert caught.value.next_step
    assert caught.value.where
    return str(caught.value)


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "my.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", sorted(builtin_recipes()))
def test_every_built_in_recipe_loads_and_names_itself(name: str):
    assert load(name).name == name


@pytest.mark.parametrize("name", sorted(builtin_recipes()))
def test_every_built_in_recipe_opens_with_what_it_is(name: str):
    assert recipe_text(name).startswith(f"# {name}: ")


def test_a_file_is_a_recipe_too(tmp_path: Path):
    path = written(tmp_path, recipe_text("tiny"))
    assert load(path) == load("tiny")


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("samples.samples=16", 16),
        ("samples.temperature=0.5", 0.5),
        ("samples.prompt.template=steps-zero-shot", "steps-zero-shot"),  # not TOML, so text
        ('samples.prompt.template="steps-zero-shot"', "steps-zero-shot"),
        ("model=a=b", "a=b"),  # only the first = parts key and value
        ("problems.held_out = 0.5", 0.5),
    ],
)
def test_an_override_is_read_as_toml_or_as_text(override: str, value: object):
    place: object = load("tiny", [override])
    for key in override.partition("=")[0].strip().split("."):
        place = getattr(place, key)
    assert place == value


def test_an_override_replaces_a_whole_section_and_reaches_into_lists():
    source = 'problems.source={kind="reasoning-gym", tasks=[{name="chain_sum", size=3}, {name="chain_sum", size=4}]}'
    recipe = load("tiny", [source, "problems.source.tasks.1.size=9"])
    assert recipe.problems.source.kind == "reasoning-gym"
    assert [task.size for task in recipe.problems.source.tasks] == [3, 9]


def test_overrides_do_not_leak_into_the_next_load():
    load("tiny", ["samples.samples=99"])
    assert load("tiny").samples.samples != 99


@pytest.mark.parametrize(
    ("override", "fragments"),
    [
        ("samples.sampels=4", ("samples.sampels: there is no such key", "did you mean samples.samples?", "count: 1")),
        ("prm.epoch=4", ("prm.epoch: there is no such key", "did you mean prm.epochs?")),
        ("temperature=1", ("temperature: there is no such key", "did you mean samples.temperature?")),
        ("samples.engine.error_rat=0", ("samples.engine.error_rat", "did you mean samples.engine.error_rate?")),
        ("xyzzy=1", ("xyzzy: there is no such key", "known here: name, model")),
        ("samples.samples=two", ("samples.samples: input should be a valid integer", "'two'")),
        ("samples.samples=-8", ("samples.samples: input should be greater than or equal to 1", "-8")),
        ("pairs.top=500", ("pairs.top = 500 is larger than samples.samples",)),
        ("pairs.score=max", ("pairs.score", "'mean'", "'max'")),
        (
            "samples.engine.kind=hff",
            ("samples.engine.kind: there is no kind 'hff' (one of given, hf, scripted, server, vllm); did you mean hf?",),
        ),
        ('step_labels={kind="monte-carlo", engine={kind="hff"}}', ("no kind 'hff' (one of hf, scripted, server, vllm)",)),
        ("policy.weighting.kind=tokn", ("policy.weighting.kind: there is no kind 'tokn'", "did you mean token?")),
        ("samples=5", ("samples: this is a section with keys of its own (engine, prompt, samples", "found 5")),
        ("problems.source=x", ("problems.source: this is a section with keys of its own (kind), found 'x'",)),
        (
            "problems.source.tasks=1",
            ("there is no such key where the kind of problems.source is this one; known here: kind, path",),
        ),
        ("samples.temperature=nan", ("samples.temperature: input should be a finite number",)),
        ("steps={splitter='regex', pattern='('}", ("steps: pattern is not a regular expression: missing ), unterminated",)),
        ("problems.source={path='x'}", ("problems.source: the key 'kind' is missing", "file, hub, reasoning-gym")),
        ("samples.samples", ("--set wants KEY=VALUE", "--set prm.epochs=2")),
        ("=3", ("--set wants KEY=VALUE",)),
        ("model.name=3", ("model is a value", "set model itself")),
    ],
)
def test_a_wrong_key_or_value_is_named_by_its_path(override: str, fragments: tuple[str, ...]):
    message = refusal("tiny", override)
    for fragment in fragments:
        assert fragment in message


def test_soft_targets_are_refused_where_rollouts_are_stopped_early():
    labels = "step_labels={kind='monte-carlo', n=4}"
    message = refusal("tiny", labels, "prm.target=value")
    assert 'prm.target = "value" needs all rollouts of a step' in message
    assert 'step_labels.policy = "early-stop" stops early' in message
    for fitting in (("step_labels={kind='monte-carlo', policy='full'}", "prm.target=value"), (labels,), ("prm.target=value",)):
        load("tiny", fitting)


def test_a_place_beyond_a_list_is_named():
    source = 'problems.source={kind="reasoning-gym", tasks=[{name="chain_sum", size=3}]}'
    assert "is a list of 1" in refusal("tiny", source, "problems.source.tasks.1.size=9")


def test_a_fault_inside_a_list_has_its_number_and_no_kind_in_the_path():
    source = 'problems.source={kind="reasoning-gym", tasks=[{name="chain_sum", size=0}]}'
    assert "problems.source.tasks.0.size: input should be greater" in refusal("tiny", source)


def test_several_faults_are_counted_and_listed():
    message = refusal("tiny", "samples.samples=0", "pairs.tpo=1", "samples.top_p=2")
    assert "3 keys are wrong" in message
    assert "count: 3" in message
    for path in ("samples.samples:", "pairs.tpo:", "samples.top_p:"):
        assert f"example: {path}" in message


def test_a_missing_key_is_named(tmp_path: Path):
    message = refusal(written(tmp_path, 'name = "x"\n[problems.source]\nkind = "file"\n'))
    for path in ("model", "samples", "problems.source.path"):
        assert f"{path}: this key is missing" in message


def test_broken_toml_is_shown_with_its_line(tmp_path: Path):
    message = refusal(written(tmp_path, 'name = "x"\nmodel = tiny random\n[problems]\n'))
    assert "recipe is not TOML" in message
    assert "my.toml:2" in message
    assert "example: model = tiny random" in message


def test_a_recipe_that_is_not_utf8_is_refused(tmp_path: Path):
    path = tmp_path / "latin.toml"
    path.write_bytes('name = "é"'.encode("latin-1"))
    assert "not UTF-8: byte 0xe9 at offset 8" in refusal(str(path))


def test_an_unknown_recipe_names_the_built_in_ones(tmp_path: Path):
    message = refusal("tinny")
    assert "did you mean tiny?" in message
    assert "built-in recipes: arithmetic, demo, tiny" in message
    assert "no recipe" in refusal(str(tmp_path / "none.toml"))


def test_a_folder_is_no_recipe(tmp_path: Path):
    assert "recipe cannot be read: Is a directory" in refusal(str(tmp_path))


def test_keys_at_follows_sections_kinds_and_lists():
    assert "temperature" in keys_at(SCHEMA, ("samples",))
    assert "error_rate" in keys_at(SCHEMA, ("samples", "engine", "scripted"))
    assert keys_at(SCHEMA, ("problems", "source", "reasoning-gym", "tasks", 0)) == ["name", "size", "options"]
    assert keys_at(SCHEMA, ("samples", "engine"), tags=True) == ["given", "hf", "scripted", "server", "vllm"]
    assert keys_at(SCHEMA, ("nowhere", "at", "all")) == []


def test_every_key_is_listed_once():
    keys = list(all_keys(SCHEMA))
    assert len(keys) == len(set(keys))
    assert {"samples.temperature", "problems.source.tasks.size", "samples.engine.error_rate"} <= set(keys)


def test_user_path_leaves_pydantics_kinds_out():
    raw = {"samples": {"engine": {"kind": "hf", "batch_size": 0}}}
    assert user_path(("samples", "engine", "hf", "batch_size"), raw) == "samples.engine.batch_size"


def test_every_key_of_a_recipe_is_read_somewhere():
    """An option that nothing reads has no effect: each is taken as an attribute in some module besides the two of types."""
    room = REPOSITORY.glob
    code = [*room("fullstep_data/**/*.py"), *room("fullstep_train/*.py"), *room("cli/*.py")]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in code if path.name != "config.py"]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    keys = {key.rpartition(".")[2] for key in all_keys(SCHEMA)} - {"kind"}
    assert len(keys) > 60
    assert sorted(keys - read) == []
