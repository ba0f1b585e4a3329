from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.resolution import main, renamed, table


def predictions(seed: int, shift: float) -> pa.Table:
    generator = np.random.default_rng([seed, 1])
    label = np.arange(120) % 3 == 0
    score = 1 / (1 + np.exp(-(generator.normal(size=120) + shift * label)))
    columns = {
        "path": [f"{i}.jpg" for i in range(120)],
        "group": [f"g{i // 3}" for i in range(120)],
        "kind": [""] * 120,
    }
    columns |= {"arm": ["real"] * 120, "dose": [0.0] * 120, "seed": [seed] * 120}
    return pa.table(columns | {"label": label.astype(int).tolist(), "score": score.tolist()})


def test_each_size_has_a_row_with_its_gain_over_the_first() -> None:
    small = [renamed(predictions(seed, 0.5), "lite0, 128 px") for seed in range(5)]
    large = [renamed(predictions(seed, 2.5), "lite0, 224 px") for seed in range(5)]
    text = table("shoes", pa.concat_tables(small + large))
    first, second = (line.split(" | ") for line in text.splitlines()[-2:])
    assert first[0] == "| lite0, 128 px" and first[3].strip() == ""
    assert second[0] == "| lite0, 224 px" and second[3].startswith("+") and "pp [+" in second[3]
    assert float(second[1].split()[0]) > float(first[1].split()[0]) + 10
    assert "5 seeds" in text and "80 genuine and 40 counterfeit" in text


def test_a_single_size_is_refused_before_anything_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--sizes", "224", "--backbones", "tf_efficientnet_lite0"])
    assert ended.value.code == 2
    assert "nothing to be compared with" in capsys.readouterr().err


def test_a_tuned_backbone_has_a_row_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shift in (("224", 0.5), ("224-1", 2.5)):
        for seed in (0, 1):
            cell = tmp_path / f"sneakers_af1-all-tf_efficientnet_lite0-{name}" / "detector" / str(seed) / "real" / "0"
            cell.mkdir(parents=True)
            pq.write_table(predictions(seed, shift), cell / "predictions.parquet")
    rows = ["--sizes", "224", "--backbones", "tf_efficientnet_lite0", "--unfreeze", "0", "1", "--seeds", "0", "1"]
    main(["--work", str(tmp_path), *rows])
    frozen, tuned = capsys.readouterr().out.splitlines()[-2:]
    assert frozen.startswith("| lite0, 224 px |") and tuned.startswith("| lite0, 224 px, 1 tuned |")
    assert "pp [+" in tuned
