from fullstep_data.workers.code import code, differences


def test_what_differs_is_named_with_both_sides():
    ours = code()
    assert differences(ours, dict(ours)) == []
    assert differences(ours, ours | {"polars": "1.0.0"}) == [f"polars {ours['polars']} here, 1.0.0 there"]
    assert differences({"torch": "2.13.0"}, {}) == ["torch 2.13.0 here, None there"]


def test_the_code_is_known_by_its_files():
    ours = code()
    assert len(ours["fullstep"]) == 12
    assert ours == code()
    assert ours["polars"] != "none"


def test_one_changed_letter_is_other_code(tmp_path, monkeypatch):
    (tmp_path / "other_code").mkdir()
    module = tmp_path / "other_code" / "__init__.py"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("fullstep_data.workers.code._PACKAGES", ("other_code",))
    found: list[str] = []
    for text in ("a = 1\n", "a = 2\n", "a = 1\n"):
        module.write_text(text)
        found.append(code()["fullstep"])
    assert found[0] != found[1]
    assert found[0] == found[2]
