"""What README and docs tell to type is understood by the verb's own parser, and what they link to is there."""

import functools
import importlib
import itertools
import re
import shlex
import shutil
from argparse import ArgumentError
from pathlib import Path

import jsonargparse
import pytest

PROJECT = Path(__file__).parents[1]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"python -m counterfeit\.(\w+)([^`\n]*)")
MADE = re.compile(r"make fit ARGS=\"([^\"]*)\"")  # hands ARGS to counterfeit.fit
LINK = re.compile(r"\]\(([^)\s]+)\)")
OF_REVIEW = ("link", "export", "verify")


def commands() -> list[str]:
    """Every command of the pages, as the verb and its arguments, each once."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    found = [f"{verb}{rest}" for verb, rest in COMMAND.findall(text)] + [f"fit {rest}" for rest in MADE.findall(text)]
    return list(dict.fromkeys(shlex.join(shlex.split(command, comments=True)) for command in found))


def links() -> list[tuple[str, str]]:
    """Every link of the pages that leads to no other site, with the page it is on."""
    found = [(path, link) for path in PAGES for link in LINK.findall(path.read_text(encoding="utf-8"))]
    return [(str(path.relative_to(PROJECT)), link) for path, link in found if not re.match(r"\w+:", link)]


@functools.cache
def parser_of(verb: str, *below: str) -> jsonargparse.ArgumentParser:
    """The parser of a verb, built once; nothing is parsed or run."""
    return jsonargparse.capture_parser(importlib.import_module(f"counterfeit.{verb}").main, list(below))


def parse(command: str, folder: Path) -> None:
    """Parse a command in a folder in which the configurations it names exist."""
    verb, *words = shlex.split(command)
    for before, file in itertools.pairwise(words):
        if before == "--config" and not (folder / file).exists():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            source = PROJECT / (file if file.startswith("configs/") else "configs/default.yaml")
            shutil.copy(source, folder / file)
    below = words[:1] if verb == "review" and words[:1] and words[0] in OF_REVIEW else []
    if words[len(below) :]:  # without any, as in a sentence, it is the verb's name
        parser_of(verb, *below).parse_args(words[len(below) :])
    else:
        parser_of(verb, *below)


@pytest.mark.parametrize("command", commands())
def test_a_command_is_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parse(command, tmp_path)


def test_all_verbs_are_shown() -> None:
    shown = {command.split()[0] for command in commands()}
    assert shown == {"fit", "synthesize", "evaluate", "predict", "export", "review"}


@pytest.mark.parametrize(
    "command",
    [
        "fit --data.rooot my_photos",
        "fit --data.root my_photos --experiment.arms '[real,synthetik]'",
        "predict photos/ --runs runs/a --out scores",
        "predict photos/ --out scores",
        "evaluate --run runs/a --robustnes",
        "export --run runs/a",
        "synthesize --run runs/a --out bank --counts 5",
        "review scores --reviewer anna",
        "review export scores --to more",
    ],
)
def test_a_misspelt_command_is_seen(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError):
        parse(command, tmp_path)


@pytest.mark.parametrize(("page", "link"), links())
def test_a_link_leads_somewhere(page: str, link: str) -> None:
    file, _, heading = link.partition("#")
    target = (PROJECT / page).parent / file if file else PROJECT / page
    assert target.exists()
    if heading:
        titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert heading in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
