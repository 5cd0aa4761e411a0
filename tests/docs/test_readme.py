"""The README is run: its shell blocks in order in one folder, its SQL over the dataset they make, its TOML through the recipe.

Blocks under an HTML comment `<!-- not run here: … -->` are left out; the comment says who runs them.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cli.recipe import Recipe
from schemas import TABLES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(<!-- not run here: [^>]+ -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def command(line: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def blocks(language: str) -> list[str]:
    return [code for left_out, kind, code in BLOCK.findall(README) if kind == language and not left_out]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's shell blocks were run."""
    folder = tmp_path_factory.mktemp("readme")
    for block in blocks("bash"):
        done = command(["bash", "-euo", "pipefail", "-c", block], folder)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return folder


@pytest.mark.xdist_group("readme")
def test_the_shell_blocks_make_what_they_say(folder):
    assert (folder / "out/tiny/versions/000001.json").is_file()
    assert (folder / "out/tiny-run/versions/000001.json").is_file()
    assert tomllib.loads((folder / "my-recipe.toml").read_text())["name"] == "demo"


@pytest.mark.xdist_group("readme")
@pytest.mark.parametrize("query", blocks("sql"))
def test_every_query_answers_with_rows(folder, query):
    done = command(["fs-data", "sql", "out/tiny", query, "--format", "csv"], folder)
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.strip().splitlines()
    assert header
    assert rows


@pytest.mark.parametrize("fragment", blocks("toml"))
def test_every_recipe_fragment_fits_into_a_recipe(fragment):
    """Laid over the built-in recipe `tiny`: its keys are known and its values pass."""
    recipe = tomllib.loads((ROOT / "cli/recipes/tiny.toml").read_text())
    written = tomllib.loads(fragment)
    for section, value in written.items():
        recipe[section] = {**recipe.get(section, {}), **value} if isinstance(value, dict) else value
    loaded = Recipe.model_validate(recipe).model_dump(mode="json", exclude_unset=True)
    for section, value in written.items():
        found = list(loaded[section]) if isinstance(value, list) else loaded[section]
        assert found == ({**loaded[section], **value} if isinstance(value, dict) else value)


def test_the_commands_are_the_makefiles():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_flow_and_the_tables_are_those_of_the_contract():
    rows = re.findall(r"^\| (\w+) \| [^|]+ \| [^|]+ \|$", README, re.MULTILINE)
    assert set(rows) - {"table"} == set(TABLES)


def test_every_link_into_the_repository_leads_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_file_tree_names_every_module_with_a_phrase():
    tree = README.split("## Files")[1].split("## ")[0]
    modules = [
        path
        for room in ("schemas", "fullstep_data", "fullstep_train", "cli")
        for path in (ROOT / room).rglob("*.py")
        if path.name != "__init__.py"
    ]
    missing = [str(path.relative_to(ROOT)) for path in modules if not re.search(rf"\b{re.escape(path.name)} +\S", tree)]
    assert missing == []
