"""The notebooks run from top to bottom on a small run, by nbmake, and their stored outputs stay small."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from counterfeit.fit import main

PROJECT = Path(__file__).parents[1]
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
TINY = [
    "--data.drawn_genuine=90", "--data.drawn_counterfeit=45", "--data.counterfeits=12", "--data.views=1",
    "--trainer.max_epochs=1", "--model.bank=64", "--gan.kimg=0.064", "--gan.pool=32", "--synthesis.count=8",
    "--synthesis.overdraw=3", "--experiment.resamples=50", "--seeds=[0]",
]  # fmt: skip


@pytest.mark.slow
def test_notebooks_run(tmp_path):
    run = tmp_path / "run"
    assert main([*TINY, f"--data.cache={tmp_path / 'cache'}", f"--out={run}"]) == 0
    command = [sys.executable, "-m", "pytest", "--nbmake", "-p", "no:cacheprovider", *map(str, NOTEBOOKS)]
    done = subprocess.run(
        command, cwd=PROJECT, env=os.environ | {"RUN": str(run)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(NOTEBOOKS)} passed" in done.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_there_and_small(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert path.stat().st_size < 200_000
    assert any(cell["outputs"] for cell in cells)
    assert not [
        o for cell in cells for o in cell["outputs"] if o["output_type"] == "error" or o.get("name") == "stderr"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_public_names_are_used(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    nodes = [node for cell in cells for node in ast.walk(ast.parse("".join(cell["source"])))]
    imported = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    assert any(name.startswith("counterfeit.") for name in imported)
    used = [part for name in imported for part in name.split(".")]
    used += [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    assert not [name for name in used if name.startswith("_")]
