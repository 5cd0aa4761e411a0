import json
import re
from pathlib import Path

import pytest

from cli.lineage import mermaid
from fullstep_data.lineage import Lineage
from tests.cli.commands import done, invoke


def test_the_tree_goes_back_to_seed_grader_prm_and_source(built: Path):
    text = done("fs-data lineage out/tiny", built).stdout
    for word in (
        "chosen: solution",
        "sampled with seed",
        "grader fullstep",
        "labeller outcome",
        "trained on",
        "builtin:sums.jsonl",
    ):
        assert word in text
    assert text.count("above)") == 5  # under the rejected solution: sampler, grader, labels, PRM and problem
    assert "validation problems" in text


def test_every_form_tells_of_the_same_pair(built: Path):
    ids = json.loads(done("fs-data sql out/tiny 'SELECT pair_id FROM pairs ORDER BY 1 LIMIT 1' --format json", built).stdout)
    pair_id = ids[0]["pair_id"]
    found = json.loads(done(f"fs-data lineage out/tiny {pair_id} --format json", built).stdout)
    assert found["nodes"]["pair"]["title"] == f"pair {pair_id}"
    for form in ("text", "mermaid"):
        assert f"pair {pair_id}" in done(f"fs-data lineage out/tiny {pair_id} --format {form}", built).stdout


def test_a_pair_of_next_steps_has_a_way_back_too(built: Path):
    query = "'FROM step_pairs ORDER BY step_index DESC, step_pair_id LIMIT 1'"
    (pair,) = json.loads(done(f"fs-data sql out/tiny {query} --format json", built).stdout)
    nodes = json.loads(done(f"fs-data lineage out/tiny {pair['step_pair_id']} --format json", built).stdout)["nodes"]
    assert nodes["pair"]["title"] == f"pair of next steps {pair['step_pair_id']}"
    assert nodes["pair"]["facts"]["chosen"] == pair["chosen"]
    assert nodes["chosen"]["title"] == f"solution {pair['chosen_id']}"
    assert float(nodes["rejected"]["facts"]["score of the step"]) == pytest.approx(pair["rejected_score"], rel=1e-3)
    assert nodes["selection"]["title"].startswith("stage step_pairs")
    assert "training rows" in nodes


def test_mermaid_has_every_node_and_edge_and_no_mark_of_its_own_in_a_text(built: Path):
    found = json.loads(done("fs-data lineage out/tiny --format json", built).stdout)
    head, *lines = done("fs-data lineage out/tiny --format mermaid", built).stdout.splitlines()
    assert head == "flowchart LR"
    nodes = [line for line in lines if "-->" not in line]
    assert (len(nodes), len(lines) - len(nodes)) == (len(found["nodes"]), len(found["edges"]))
    assert all(re.fullmatch(r'  n\d+\["[^"]+"\]', line) for line in nodes)
    assert all(re.fullmatch(r'  n\d+ -->\|"[^"]+"\| n\d+', line) for line in lines if line not in nodes)


def test_marks_of_mermaid_and_html_are_entities():
    graph = Lineage()
    graph.add("pair", 'a "b" <c>', {"question": "x\n#1 & `y` \\n"})
    assert mermaid(graph).splitlines()[1] == '  n0["a #quot;b#quot; #lt;c#gt;<br/>question: x #35;1 #amp; #96;y#96; #92;#8288;n"]'


def test_a_dataset_without_that_pair(built: Path):
    result = invoke("fs-data lineage out/tiny zzz", built)
    assert result.exit_code == 2
    assert "no pair 'zzz'" in result.stderr
    result = invoke("fs-data lineage out/tiny-run", built)
    assert "no table pairs" in result.stderr
