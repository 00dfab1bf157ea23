"""The rules of the house, held against the code itself."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from importlinter.cli import lint_imports

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pipeline"
SIMULATOR = "provider/simulator/"


@functools.cache
def modules() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(PACKAGE)): ast.parse(path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def where(matches: type[ast.AST], *names: str) -> set[str]:
    """The modules in which a node of this kind unparses to text that holds one of ``names``."""
    return {module for module, node in nodes(matches) if any(n in ast.unparse(node) for n in names)}


def nodes(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for module, tree in modules().items():
        yield from ((module, node) for node in ast.walk(tree) if isinstance(node, kind))


def test_the_tree_is_the_flow_and_rules_are_pure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports() == 0


def test_one_module_reads_the_environment() -> None:
    assert where(ast.Attribute, "os.environ", "os.getenv") == {"job/environment.py"}


def test_one_module_of_the_application_and_the_command_line_print() -> None:
    writers = where(ast.Attribute, "sys.stdout", "sys.stderr") | where(ast.Call, "print(")
    assert {one for one in writers if not one.startswith(SIMULATOR)} == {
        "app/console.py",
        "cli.py",
    }


def test_broad_excepts_stand_at_the_top_and_around_one_task_only() -> None:
    broad = {
        module
        for module, node in nodes(ast.ExceptHandler)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
    }
    assert broad == {"cli.py", "engine/pool.py"}


def test_no_task_is_started_outside_a_task_group() -> None:
    assert not where(ast.Call, "asyncio.create_task", "ensure_future", "loop.create_task")


def test_no_pattern_has_a_possessive_or_atomic_group() -> None:
    """Python before 3.11.5 matches them wrongly (gh-106052); of a single class they are sound."""
    group = re.compile(r"\)[*+?}]\+|\(\?>")
    written = (node.value for _, node in nodes(ast.Constant) if isinstance(node, ast.Constant))
    texts = (one.decode("latin-1") if isinstance(one, bytes) else str(one) for one in written)
    assert not [text for text in texts if group.search(text)]


def test_every_module_and_public_name_is_documented() -> None:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for module, tree in modules().items():
        assert ast.get_docstring(tree), module
        for node in (one for one in tree.body if isinstance(one, kinds)):
            assert node.name.startswith("_") or ast.get_docstring(node), f"{module}: {node.name}"


@pytest.mark.parametrize("longest", [350])
def test_a_file_fits_on_a_few_screens(longest: int) -> None:
    lengths = {
        str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in PACKAGE.rglob("*.py")
    }
    assert {name: n for name, n in lengths.items() if n > longest} == {}
