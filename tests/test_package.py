"""What holds for the package as a whole."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import pellucid as pld

ROOT = Path(__file__).parents[1]
PUBLIC = [
    f"{room}.{name}" for room in sorted(pld.__all__) for name in sorted(getattr(pld, room).__all__)
]


def public(name: str):
    room, name = name.split(".")
    return getattr(getattr(pld, room), name)


class OutputChecker(doctest.OutputChecker):
    """Compares what an example shows; one that shows nothing may print a progress bar."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


def run_python(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty folder to write in, and figures that wait for nobody."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda *_, **__: None)
    yield tmp_path
    plt.close("all")


def test_version_is_the_installed_one():
    assert pld.__version__ == version("pellucid")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[(Unreleased|" + re.escape(pld.__version__) + r")\]", changelog, re.M)
    assert f"\nversion: {pld.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_types_are_shipped():
    assert files("pellucid").joinpath("py.typed").is_file()


def test_import_is_light():
    run_python(
        "import sys, pellucid\n"
        "heavy = {'torch', 'scvi', 'scanpy', 'anndata', 'pandas', 'matplotlib'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )


def test_figures_and_tables_need_no_model():
    run_python(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] in {'torch', 'scvi', 'lightning', 'captum'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import pellucid.get, pellucid.pl"
    )


def test_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pld.nothing


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_run(name, workplace):
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = [test for test in finder.find(public(name), name) if test.examples]
    assert any(test.name == name for test in tests), f"the docstring of {name} has no example"
    runner = doctest.DocTestRunner(
        checker=OutputChecker(), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    report: list[str] = []
    # What a model learns in two epochs must not hang on the tests that ran before.
    with pld.train.seeded(1):
        for test in tests:
            runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize("name", [n for n in PUBLIC if inspect.isfunction(public(n))])
def test_options_are_keyword_only(name):
    """Beyond the data and the model, arguments go by name."""
    positional = [
        parameter.name
        for parameter in inspect.signature(public(name)).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    # The two factors of a scatter are what it is of, as x and y are elsewhere.
    assert len(positional) <= (3 if name == "pl.factor_scatter" else 2), positional


def test_readme_examples_run(workplace, monkeypatch):
    quick = partial(pld.tl.orthogonal_ae, max_epochs=20)
    monkeypatch.setattr(pld.tl, "orthogonal_ae", quick)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for example in re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S):
        exec(compile(example, "README.md", "exec"), {})
    assert (workplace / "read.h5ad").is_file()
