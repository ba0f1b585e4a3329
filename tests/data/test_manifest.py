"""The manifest: both layouts, every mistake a user makes, and checks of given splits."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from counterfeit.data.listing import read_listing
from counterfeit.data.manifest import SCHEMA, check_splits, read_manifest, write_table
from counterfeit.errors import UserError

GOOD = "path,label,group\ngenuine/b.jpg,genuine,7\ncounterfeit/a.jpg,1,007\n"
SIX = [(f"{label}{split}.jpg", label, split) for label in (0, 1) for split in ("train", "validation", "test")]


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def with_csv(root: Path, text: str) -> Path:
    (root / "manifest.csv").write_text(text, encoding="utf-8")
    return root


def with_splits(root: Path, extra: str = "") -> Path:
    rows = "".join(f"{path},{label},{split},g{path},real\n" for path, label, split in SIX)
    return with_csv(root, "path,label,split,group,source\n" + rows + extra)


def test_folders_give_labels_whatever_the_case_of_the_suffix(tmp_path: Path) -> None:
    put(tmp_path, "genuine/x/one.JPG", "genuine/two.png", "counterfeit/three.WebP", "counterfeit/a.txt", "other/4.jpg")
    table = read_manifest(tmp_path)
    assert table.schema == SCHEMA
    assert table["path"].to_pylist() == ["counterfeit/three.WebP", "genuine/two.png", "genuine/x/one.JPG"]
    assert table["label"].to_pylist() == [1, 0, 0]
    assert table["group"].null_count == table["split"].null_count == 3
    assert set(table["source"].to_pylist()) == {"real"}


def test_hidden_files_are_left_out_and_class_folders_have_any_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, "Genuine/a.jpg", "Genuine/.trash/b.jpg", "Genuine/._a.jpg", "Genuine/c.HEIC", "COUNTERFEIT/d.png")
    table = read_manifest(tmp_path)
    assert table["path"].to_pylist() == ["COUNTERFEIT/d.png", "Genuine/a.jpg"]
    assert table["label"].to_pylist() == [1, 0]
    assert read_listing(tmp_path).paths.to_pylist() == table["path"].to_pylist()
    assert capsys.readouterr().err == "left out by suffix: 1 .heic\n"


def test_a_folder_of_other_files_says_which(tmp_path: Path) -> None:
    put(tmp_path, *(f"genuine/{number}.HEIC" for number in range(3)), "genuine/README")
    for read in (read_manifest, read_listing):
        with pytest.raises(UserError, match=r"left out by suffix: 3 \.heic, 1 without suffix.*\.jpg"):
            read(tmp_path)
    put(tmp_path, "counterfeit/a.jpg")
    with pytest.raises(UserError, match=r"no genuine images in .*left out by suffix: 3 \.heic"):
        read_manifest(tmp_path)


def test_csv_is_sorted_and_text_stays_text(tmp_path: Path) -> None:
    table = read_manifest(with_csv(tmp_path, GOOD))
    assert table["path"].to_pylist() == ["counterfeit/a.jpg", "genuine/b.jpg"]
    assert table["label"].to_pylist() == [1, 0]
    assert table["group"].to_pylist() == ["007", "7"]
    assert table["kind"].to_pylist() == ["", ""]


def test_a_byte_order_mark_and_unknown_columns_do_not_matter(tmp_path: Path) -> None:
    text = "\ufeffpath,label,shop,kind\n./genuine//b.jpg, genuine ,x,\ncounterfeit\\a.jpg,counterfeit,y,font\n"
    table = read_manifest(with_csv(tmp_path, text))
    assert table["path"].to_pylist() == ["counterfeit/a.jpg", "genuine/b.jpg"]
    assert table["kind"].to_pylist() == ["font", ""]


@pytest.mark.parametrize("header", ["path, label", ' "path" ,"label"', "\n\npath,label", '"shop, city",path,label'])
def test_a_header_is_read_as_a_spreadsheet_writes_it(tmp_path: Path, header: str) -> None:
    shop = "Rome," if "shop" in header else ""
    text = f"{header}\n{shop}a.jpg,genuine\n{shop}b.jpg,counterfeit\n"
    table = read_manifest(with_csv(tmp_path, text))
    assert table["path"].to_pylist() == ["a.jpg", "b.jpg"] and table["label"].to_pylist() == [0, 1]


def test_parquet_and_a_manifest_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    file = tmp_path / "table.parquet"
    pa.parquet.write_table(pa.table({"path": ["a.png", "b.png"], "label": [0, 1], "group": [1, None]}), file)
    table = read_manifest(root, file)
    assert table["label"].to_pylist() == [0, 1]
    assert table["group"].to_pylist() == ["1", None]


def test_written_tables_read_back_the_same(tmp_path: Path) -> None:
    table = read_manifest(with_splits(tmp_path))
    for name in ("copy.parquet", "new/copy.csv"):
        write_table(table, tmp_path / name)
        assert read_manifest(tmp_path, tmp_path / name) == table
    assert not list(tmp_path.rglob(".copy*"))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "table.csv"
    file.write_text("old")
    monkeypatch.setattr(pa.csv, "write_csv", lambda table, path: Path(path).write_text("half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_table(pa.table({"a": [1]}), file)
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert file.read_text() == "old"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,group\na.jpg,1\n", "no column label"),
        ("name,kind\na.jpg,1\n", "no column path and label"),
        ("path;label\na.jpg;genuine\n", "it has path;label (divided by ';'? save it with commas)"),
        ("Path,Label\na.jpg,genuine\n", "it has Path, Label"),
        ("path,label,path\na.jpg,genuine,b.jpg\n", "the column path more than once"),
        ("path,label\na.jpg,genuine\nb.jpg,fake\n", "row 2: unknown label 'fake'"),
        ("path,label,split\na.jpg,0,train\nb.jpg,1,dev\n", "row 2: unknown split 'dev'"),
        ("path,label,source\na.jpg,0,gan\nb.jpg,1,real\n", "row 1: unknown source 'gan'"),
        ("path,label\na.jpg,0\n./a.jpg,1\n", "a.jpg is listed more than once"),
        ("path,label\na.jpg,0\nb.jpg,genuine\n", "no counterfeit images"),
        ("path,label\na.jpg,1\n", "no genuine images"),
        ("path,label\n", "no images"),
        ("path,label\n,0\n", "row 1: the path is empty"),
        ("path,label\n../a.jpg,0\nb.jpg,1\n", "../a.jpg leads out of the root"),
        ("path,label\n/etc/a.jpg,0\nb.jpg,1\n", "leads out of the root"),
        ("path,label\nC:\\a.jpg,0\nb.jpg,1\n", "leads out of the root"),
        ("path,label\na.jpg,0,5\nb.jpg,1\n", "cannot read"),
    ],
)
def test_mistakes_end_in_one_plain_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_manifest(with_csv(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(UserError, match="put photographs into"):
        read_manifest(tmp_path)
    with pytest.raises(UserError, match="there is no manifest"):
        read_manifest(tmp_path, tmp_path / "other.csv")


def test_given_splits_are_kept(tmp_path: Path) -> None:
    table = read_manifest(with_splits(tmp_path, "s.png,1,train,s,synthetic\n"))
    assert table["split"].to_pylist()[-1] == "train"
    check_splits(table)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("x.jpg,0,test,g0train.jpg,real\n", "group g0train.jpg is in train and"),
        ("x.jpg,1,test,x,synthetic\n", "x.jpg is synthetic and in test"),
        ("x.jpg,1,,x,real\n", "x.jpg has no split"),
    ],
)
def test_splits_that_leak_are_refused(tmp_path: Path, extra: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_manifest(with_splits(tmp_path, extra))


def test_a_split_without_one_of_the_classes_is_refused(tmp_path: Path) -> None:
    table = read_manifest(with_splits(tmp_path))
    without = table.filter(pa.compute.not_equal(table["path"], "1test.jpg"))
    with pytest.raises(UserError, match="the split test has no counterfeit images"):
        check_splits(without)
    with pytest.raises(UserError, match="the split validation has no genuine images"):
        check_splits(table.filter(pa.compute.equal(table["split"], "train")))


def test_a_manifest_that_is_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    put(tmp_path, "genuine/a.jpg", "counterfeit/b.jpg")
    os.mkfifo(tmp_path / "manifest.csv")
    with pytest.raises(UserError, match="is no file"):
        read_manifest(tmp_path)
    with pytest.raises(UserError, match="there is no manifest"):
        read_manifest(tmp_path, tmp_path / "manifest.csv")
