"""The error tree: what is drawn is what is there, and what a caller may rely on."""

import inspect

import pytest

from honeyguide import errors
from honeyguide.errors import HoneyguideError, InvalidFile, InvalidInput, MissingExtra

CLASSES = {
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__
}


def drawn_tree() -> dict[str, str | None]:
    """name -> parent, as the module's docstring draws it: four columns to a level."""
    path: list[str] = []
    tree: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        body = line.lstrip(" │├└─")
        name = body.split(" ")[0]
        if not (line.startswith("    ") and name.isidentifier()):
            continue
        depth = (len(line) - len(body)) // 4 - 1
        path[depth:] = [name]
        tree[name] = path[depth - 1] if depth else None
    return tree


def test_the_tree_drawn_is_the_tree_there_is() -> None:
    there = {
        kind.__name__: None if kind is HoneyguideError else kind.__bases__[0].__name__ for kind in CLASSES
    }
    assert drawn_tree() == there


@pytest.mark.parametrize("kind", sorted(CLASSES, key=str))
def test_one_except_clause_catches_all_that_is_raised_on_purpose(kind: type[Exception]) -> None:
    assert issubclass(kind, HoneyguideError)
    assert kind.__doc__


def test_the_branches_that_python_knows_too_are_caught_as_such() -> None:
    assert issubclass(InvalidInput, ValueError)
    assert issubclass(MissingExtra, ImportError)
    others = {kind for kind in CLASSES if not issubclass(kind, InvalidInput | MissingExtra)}
    assert not any(issubclass(kind, ValueError | ImportError | OSError) for kind in others)


def test_a_file_error_names_file_row_problem_and_remedy() -> None:
    error = InvalidFile("events.csv", "the time is not a time", "Write it as 2026-01-31T12:00:00Z", row=7)
    assert str(error) == "events.csv, row 7: the time is not a time. Write it as 2026-01-31T12:00:00Z"
    assert (error.path, error.row) == ("events.csv", 7)
    assert str(InvalidFile("a.csv", "empty", "Export it again")) == "a.csv: empty. Export it again"


def test_a_missing_extra_says_what_to_run() -> None:
    assert "pip install" in str(MissingExtra("torch", "train"))
    assert "honeyguide[train]" in str(MissingExtra("torch", "train"))
