"""The tests mirror the rooms: each module has a test file of its name in the folder of its name, each test folder a room."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("schemas", "fullstep_data", "fullstep_train", "cli")
OTHER_FOLDERS = {
    "benchmarks": "run by hand",
    "docs": "runs the documentation",
    "golden": "a whole build, compared with an earlier one",
}
TABLE = "a table, all data: tests/schemas/test_table.py goes over every one"
WITHOUT_TEST_FILE = {
    **{
        f"schemas/{path.stem}.py": TABLE
        for path in (ROOT / "schemas" / "lock").glob("*.json")  # one per table
    },
    "schemas/lock.py": "the contract's lock: tests/schemas/test_table.py",
    "fullstep_data/stage.py": "records without behaviour: tests/fullstep_data/test_runner.py",
    "fullstep_data/pipeline.py": "a list: tests/cli and tests/golden run all of it",
    "fullstep_data/prm.py": "one call: tests/cli/test_kill.py",
    "fullstep_data/policy.py": "one call: tests/cli/test_kill.py",
    "fullstep_data/engines/protocol.py": "protocols: tests/fullstep_data/engines/test_conformance.py",
    "fullstep_data/grading/pool.py": "the grader's processes: tests/fullstep_data/grading/test_grader.py",
    "fullstep_data/grading/worker.py": "the grader's processes: tests/fullstep_data/grading/test_grader.py",
    "fullstep_data/workers/process.py": "what a worker process runs: tests/fullstep_data/workers/test_processes.py",
    "cli/data.py": "options and one call each: tests/cli/test_help.py runs every command",
    "cli/train_experiment.py": "options and one call: tests/cli/test_experiment.py, test_experiment_recipe.py",
    "cli/data_exchange.py": "options and one call each: tests/cli/test_hub.py, test_interchange.py",
    "cli/train.py": "options and one call each: tests/cli/test_help.py runs every command",
    "cli/build.py": "the command: tests/cli/test_show.py, test_mistakes.py, test_kill.py",
    "cli/recipe_keys.py": "the recipe's messages: tests/cli/test_recipe.py",
}


def modules() -> set[str]:
    """Every module of the four rooms, as a path from the root."""
    found = (path for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py")
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_every_module_has_a_test_file_of_its_name():
    missing = {module for module in modules() if not (ROOT / "tests" / module).with_name(f"test_{Path(module).name}").is_file()}
    assert missing == WITHOUT_TEST_FILE.keys() & missing, "write a test file, or say above why there is none"
    assert WITHOUT_TEST_FILE.keys() <= missing, "exceptions that are none any more"


def test_every_test_folder_mirrors_a_room():
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")} - {Path()}
    strays = [folder for folder in folders if not (ROOT / folder).is_dir() and folder.parts[0] not in OTHER_FOLDERS]
    assert strays == []
    assert all((ROOT / "tests" / folder / "__init__.py").is_file() for folder in folders)
