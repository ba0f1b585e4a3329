"""The console script: which verbs it lists, and how it hands over to one."""

import importlib
import subprocess
import sys
import types

import pytest

from counterfeit.__main__ import VERBS, main


@pytest.fixture
def only_fit(monkeypatch):
    """A command whose one verb is ``fit``, which keeps its arguments and exits with 3."""
    seen = []
    module = types.ModuleType("counterfeit.fit")
    module.main = lambda args: seen.append(args) or 3
    monkeypatch.setitem(sys.modules, "counterfeit.fit", module)
    for name in set(VERBS) - {"fit"}:
        monkeypatch.delitem(VERBS, name)
    return seen


def test_every_verb_that_is_listed_exists():
    for name in VERBS:
        assert callable(importlib.import_module(f"counterfeit.{name}").main)


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_lists_the_verbs_with_a_line_each(only_fit, capsys, args):
    assert main(args) == 0
    printed = capsys.readouterr().out
    assert f"  fit         {VERBS['fit']}\n" in printed
    assert "predict" not in printed
    assert not only_fit


def test_runs_a_verb_on_the_other_arguments_and_returns_its_exit_code(only_fit):
    assert main(["fit", "--seeds", "[0, 1]", "--help"]) == 3
    assert only_fit == [["--seeds", "[0, 1]", "--help"]]


def test_arguments_come_from_the_command_line_unless_given(only_fit, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["counterfeit", "fit", "--out", "runs/a"])
    assert main() == 3
    assert only_fit == [["--out", "runs/a"]]


@pytest.mark.parametrize("verb", ["fitt", "predict", "cache", ""])
def test_an_unknown_verb_is_one_line_and_exit_code_2(only_fit, capsys, verb):
    assert main([verb]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"counterfeit: there is no verb {verb!r}; choose from fit\n"


def test_the_list_does_not_wait_for_torch():
    script = "import sys; from counterfeit.__main__ import main; main([]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0
