"""Splitting by image: what it takes away is the groups, and nothing else."""

from benchmarks.by_image import ungrouped
from counterfeit.data.manifest import read_manifest


def test_every_image_is_a_group_of_its_own(tmp_path):
    (tmp_path / "manifest.csv").write_text(
        "path,label,group,kind\n"
        "genuine/a.png,genuine,one,\n"
        "genuine/b.png,genuine,one,\n"
        "counterfeit/c.png,counterfeit,two,font\n"
    )
    grouped = read_manifest(tmp_path)
    alone = read_manifest(tmp_path, ungrouped(tmp_path, tmp_path / "new/alone.parquet"))
    assert len(set(alone["group"].to_pylist())) == 3 > len(set(grouped["group"].to_pylist()))
    assert alone.drop_columns(["group"]).equals(grouped.drop_columns(["group"]))
