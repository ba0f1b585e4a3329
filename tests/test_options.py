"""Options that no setting can mean, at every verb: one line, exit code 2, nothing written."""

import importlib
from pathlib import Path

import pytest

from counterfeit.errors import UserError
from counterfeit.options import check_seed

MISTAKES = {
    "predict photos --run= --out=out": "the option run is empty",
    "predict photos --run=run --out=": "the option out is empty",
    "predict '' --run=run --out=out": "the option photographs is empty",
    "predict photos --run=run --out=out --root=": "the option root is empty",
    "predict photos --run=run --out=out --workers=nan": "--workers: nan is not a whole number",
    "predict photos --run=nowhere --out=out": "there is no folder",
    "predict photos --run=file --out=out": "there is no folder file",
    "export --run= --out=out": "the option run is empty",
    "export --run=run --out=": "the option out is empty",
    "export --run=run --out=out": "holds no detector.json",
    "evaluate --run=": "the option run is empty",
    "evaluate --run=file": "cannot be read",
    "evaluate --run=run": "no config.yaml",
    "evaluate --run=binary": "config.yaml cannot be read",
    "synthesize --run= --out=out": "the option run is empty",
    "synthesize --run=run --out=": "the option out is empty",
    "synthesize --run=binary --out=out": "config.yaml cannot be read",
    "synthesize --run=other --out=out": "damaged or of another version",
    "synthesize --run=run --out=out --draw=99999999999999999999": "--draw",
    "synthesize --data=digits --out=out --seed=-1": "--seed: -1",
    "synthesize --data=digits --out=out --seed=99999999999999999999": "--seed",
    "synthesize --data=digits --out=out --gan.lr=.nan": "--gan.lr: nan",
    "synthesize --data=digits --out=out --gan.kimg=0": "gan.kimg",
    "synthesize --config=binary/config.yaml --out=out": "--config",
    "fit --config=binary/config.yaml --out=out": "--config",
    "review --config=binary/config.yaml": "--config",
    "review run --gold=.nan": "--gold: nan",
    "review run --host=": "the option host is empty",
    "review run --port=65536": "--port 65536",
    "review run --port=-1": "--port -1",
    "review verify run --head_hash=": "the option head_hash is empty",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("run", "photos", "binary", "other"):
        (tmp_path / folder).mkdir()
    for file in ("file", "photos/0.jpg"):
        (tmp_path / file).write_text("text")
    (tmp_path / "binary/config.yaml").write_bytes(b"\x7fELF\xd0\x00")
    (tmp_path / "other/config.yaml").write_text("seeds: 5\n")
    for folder in ("binary", "other"):
        (tmp_path / folder / "splits.parquet").touch()
    before = sorted(tmp_path.rglob("*"))
    verb, *args = (word.replace("''", "") for word in mistake.split(" "))
    assert importlib.import_module(f"counterfeit.{verb}").main(args) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and MISTAKES[mistake] in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_source_of_random_numbers_takes_is_refused(seed: int) -> None:
    check_seed("seeds", 0)
    check_seed("seeds", 2**32 - 1)
    with pytest.raises(UserError, match="from 0 to 4294967295"):
        check_seed("seeds", seed)
