"""Nothing that is read from a file or a socket can run code: no pickle, and nothing that unpickles, is reachable."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "honeyguide"
UNPICKLE = {
    "pickle",
    "_pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "jsonpickle",
}
RUN = {"eval", "exec", "compile", "__import__"}
_SUSPECT = re.compile(
    "|".join([*UNPICKLE, *RUN, "allow_pickle", "weights_only", r"(torch|np|numpy|yaml)\.load"])
)


def _imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def _called(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def faults(code: str) -> list[str]:
    """What in this code reads files that can run code, or runs text."""
    if not _SUSPECT.search(code):
        return []
    tree = ast.parse(code)
    found = [f"{line}: {name}" for line, name in _imported(tree) if name.split(".")[0] in UNPICKLE]
    for call, name in _called(tree):
        named = {word.arg: ast.unparse(word.value) for word in call.keywords}
        line = f"{call.lineno}: {ast.unparse(call)[:80]}"
        if named.get("allow_pickle", "False") != "False" or named.get("weights_only", "True") != "True":
            found.append(line)
        elif name == "torch.load" and "weights_only" not in named:
            found.append(line)
        elif name in {"np.load", "numpy.load"} and named.get("allow_pickle") != "False":
            found.append(line)
        elif name in RUN or name.endswith((".read_pickle", ".to_pickle", "yaml.load", ".allow_unsafe")):
            found.append(line)
    return found


def test_no_module_unpickles_or_runs_text() -> None:
    found = {str(path.relative_to(SOURCE)): faults(path.read_text()) for path in SOURCE.rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}
    assert len(found) > 100


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "def f():\n    import marshal",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "pandas.read_pickle(path)",
        "eval(text)",
    ],
)
def test_each_of_them_would_be_found(code: str) -> None:
    assert faults(code)


def test_what_may_be_read_is_let_through() -> None:
    assert (
        faults("np.load(path, allow_pickle=False)\ntorch.load(path, weights_only=True)\nre.compile(x)") == []
    )


def test_what_serves_never_unpickles() -> None:
    code = (
        "import pickle\n"
        "def refused(*_, **__): raise SystemExit('something was unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = refused\n"
        "import honeyguide.serve.app, honeyguide.cli.serving, honeyguide.plm.serving, honeyguide.journal.sqlite\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
