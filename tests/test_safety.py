"""A file from elsewhere is data, never a program: nothing in the package unpickles."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "counterfeit"
UNPICKLERS = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve"}


def offences(source: str) -> list[str]:
    """Imports of unpicklers, ``torch.load`` but with ``weights_only=True``, and ``allow_pickle=True``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            names = [module or "", *(alias.name for alias in node.names)]
            found += [name for name in names if name.split(".")[0] in UNPICKLERS]
        if isinstance(node, ast.Call):
            options = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if ast.unparse(node.func) == "torch.load" and options.get("weights_only") != "True":
                found.append(ast.unparse(node))
            if "weights_only" in options and options["weights_only"] != "True":
                found.append(ast.unparse(node))
            if options.get("allow_pickle", "False") != "False":
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_unpickled(path: Path) -> None:
    assert not offences(path.read_text())


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "Detector.load_from_checkpoint(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_what_would_unpickle_is_found(source: str) -> None:
    assert offences(source)
