"""The order of the package: a module imports from lower floors only, never from its neighbours or from above."""

import ast
from pathlib import Path

import pytest

import counterfeit

PACKAGE = Path(counterfeit.__file__).parent
FLOORS = (  # from low to high; what shares a floor knows nothing of each other
    {"errors"},
    {"cache", "output", "options"},
    {"backbone"},
    {"data"},
    {"gan", "detector", "evaluation"},
    {"synthesis"},
    {"report", "scale"},
    {"experiment"},
    {"fit", "synthesize", "evaluate", "predict", "export", "validate", "review", "__main__"},
)
FLOOR = {unit: number for number, floor in enumerate(FLOORS) for unit in floor}
WITHOUT_TORCH = ("evaluation", "report")


def unit_of(path: Path) -> str:
    """The module or package directly below ``counterfeit`` that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def files() -> dict[Path, str]:
    """All files of the package and the unit of each, but for ``counterfeit/__init__.py``."""
    return {path: unit_of(path) for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def imported(source: str) -> list[tuple[int, str]]:
    """Line and dotted name of everything imported, also inside of functions; a relative import starts with a dot."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


def violations(source: str, unit: str) -> list[str]:
    """What a file of ``unit`` imports and must not, with its line."""
    wrong = []
    for line, name in imported(source):
        if name.startswith("."):
            wrong.append(f"line {line}: relative import of {name}")
        if not name.startswith("counterfeit."):
            continue
        other = name.split(".")[1]
        if other in FLOOR and other != unit and FLOOR[other] >= FLOOR[unit]:
            wrong.append(f"line {line}: {unit} imports {name}")
    return wrong


def test_every_module_and_package_has_a_floor():
    assert set(files().values()) <= set(FLOOR)


@pytest.mark.parametrize("unit", sorted({unit for unit in files().values() if unit in FLOOR}))
def test_imports_come_from_lower_floors(unit):
    found = {path.name: violations(path.read_text(), unit) for path, of in files().items() if of == unit}
    assert not {name: wrong for name, wrong in found.items() if wrong}


def test_the_package_itself_imports_none_of_its_parts():
    assert not [name for _, name in imported((PACKAGE / "__init__.py").read_text()) if name.startswith("counterfeit")]


@pytest.mark.parametrize("unit", WITHOUT_TORCH)
def test_arrays_and_text_need_no_torch(unit):
    names = {name.split(".")[0] for path, of in files().items() if of == unit for _, name in imported(path.read_text())}
    assert names.isdisjoint({"torch", "torchvision", "pytorch_lightning", "timm"})


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("gan", "from counterfeit.detector.heads import ImageHeads"),
        ("data", "import counterfeit.evaluation.metrics as metrics"),
        ("backbone", "def late():\n    from counterfeit.data import images"),
        ("synthesis", "from counterfeit import experiment"),
        ("errors", "import counterfeit.cache"),
        ("fit", "import counterfeit.predict"),
        ("gan", "from . import networks"),
    ],
)
def test_a_wrong_import_is_seen(unit, source):
    assert violations(source, unit)


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("gan", "from counterfeit.gan.networks import Refiner"),
        ("data", "from counterfeit.backbone import Embedder"),
        ("fit", "from counterfeit import __version__, experiment"),
        ("gan", "import torch\nfrom torch import nn"),
    ],
)
def test_a_right_import_is_not_seen(unit, source):
    assert not violations(source, unit)
