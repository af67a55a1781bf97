"""The package's imports run one way, the core neither prints nor plots, and what is documented runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "twofold"
MODULES = sorted(SOURCE.rglob("*.py"))

# From the bottom up; a module may import from lower rooms, and from its own where that is a folder.
ROOMS = [
    ["status", "history", "operators", "devices", "memory", "optim"],
    ["problem", "observers", "adapters", "conjugate"],
    ["outliers", "labels", "models", "matrix.anderson", "matrix.sweep", "matrix.watch"],
    ["descent"],
    ["matrix.polish", "matrix.identify", "matrix.rows", "matrix.certificate", "matrix.inputs", "matrix.convex"],
    ["matrix.recovered", "matrix.fit", "matrix.dual"],
    ["matrix.balance", "matrix.patience"],
    ["matrix.sensing.scales", "matrix.sensing.metric", "matrix.sensing.polish"],
    ["matrix.sensing.certificate"],
    ["matrix.sensing.convex"],
    ["matrix.three_acts", "matrix.sensing.acts", "matrix.plain"],
    ["solution"],
    ["matrix.finish"],
    ["matrix.recover", "matrix.sensing.recover", "image"],
    ["estimators", "classifiers", "nn", "datasets", "metrics", "io", "baselines"],
    ["plots"],
    ["report"],
    ["benchmarks"],
    ["experiments"],
    ["cli"],
    ["__main__", "__init__"],
]


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "__init__"


def level_of(module: str) -> int:
    for level, rooms in enumerate(ROOMS):
        if any(module == room or module.startswith(room + ".") for room in rooms):
            return level
    if module in ("matrix", "matrix.sensing"):
        return 0
    raise AssertionError(f"{module} has no room: add it to ROOMS and to ARCHITECTURE.md")


def imports_of(path: Path) -> set[str]:
    """Modules of this package that a file imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "twofold":
            base = node.module.removeprefix("twofold").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                is_module = (SOURCE / inner.replace(".", "/")).with_suffix(".py").exists()
                found.add(inner if is_module else base or "__init__")
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("twofold.") for alias in node.names if alias.name.startswith("twofold.")
            }
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    module = name_of(path)
    for imported in imports_of(path):
        if imported == "__init__":
            assert module in ("cli", "__main__") or module.startswith("cli."), f"{module} imports the front door"
            continue
        same_folder = module.split(".")[0] == imported.split(".")[0]
        assert level_of(imported) < level_of(module) or same_folder, f"{module} imports {imported} from above"


def test_no_import_cycles() -> None:
    graph = {name_of(path): {i for i in imports_of(path) if i != name_of(path)} for path in MODULES}
    seen: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"cycle: {' -> '.join((*trail, module))}"
        if module in seen:
            return
        for imported in graph.get(module, ()):
            visit(imported, (*trail, module))
        seen[module] = 1

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", [p for p in MODULES if "cli" not in p.parts], ids=name_of)
def test_core_does_not_print(path: Path) -> None:
    calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    assert not [call for call in calls if getattr(call.func, "id", "") == "print"]


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__main__.py"], ids=name_of)
def test_docstring_examples_run(path: Path) -> None:
    module = importlib.import_module(f"twofold.{name_of(path)}" if name_of(path) != "__init__" else "twofold")
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


PAGES = [f"docs/{name}.md" for name in ("matrix", "images", "failing", "extending")]


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_python_examples_run_one_after_the_other(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (SOURCE.parents[1] / page).read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    assert len(examples) >= 2
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, page, "exec"), names)


def test_every_public_name_has_a_docstring_that_names_its_errors() -> None:
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{name_of(path)}.{node.name} has no docstring"
