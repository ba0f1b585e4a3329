"""What is written appears as a whole, and what was there stays where writing fails."""

from pathlib import Path

import pytest

from counterfeit.data.files import replacing, replacing_folder, without_nan


def test_a_file_takes_the_place_of_another_only_if_all_goes_well(tmp_path: Path) -> None:
    path = tmp_path / "below" / "file"
    with replacing(path) as partial:
        partial.write_text("first")
    with pytest.raises(KeyError), replacing(path) as partial:
        partial.write_text("half of the")
        raise KeyError
    assert path.read_text() == "first" and [other.name for other in path.parent.iterdir()] == ["file"]


def test_a_folder_takes_the_place_of_another_only_if_all_goes_well(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with replacing_folder(folder) as partial:
        (partial / "old").touch()
    with pytest.raises(KeyError), replacing_folder(folder) as partial:
        (partial / "half").touch()
        raise KeyError
    assert [path.name for path in folder.iterdir()] == ["old"]
    with replacing_folder(folder) as partial:  # nothing of what failed is left in it
        (partial / "new").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["folder", "folder/new"]


def test_what_json_has_no_number_for_is_null_at_any_depth() -> None:
    value = {"a": [1.0, float("nan"), (float("inf"), {"b": -float("inf")})], "c": "nan", "d": None}
    assert without_nan(value) == {"a": [1.0, None, [None, {"b": None}]], "c": "nan", "d": None}
