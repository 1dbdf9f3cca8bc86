"""The rules of the house that a machine can check: imports, file length, forbidden calls, docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ltr", "pytracking", "experiments")
LONGEST_FILE = 420
LONGEST_IMPORT_LIST = 14


def module_name(path: Path) -> str:
    """'ltr.ops.boxes' for ltr/ops/boxes.py, 'ltr.ops' for ltr/ops/__init__.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = {module_name(path): path for path in FILES}
TEST_FILES = sorted((ROOT / "tests").rglob("*.py"))


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def only_for_types(node: ast.AST) -> bool:
    """Whether `node` is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def walk_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below `node` that can run: the body of `if TYPE_CHECKING:` is left out."""
    for child in ast.iter_child_nodes(node):
        if not only_for_types(child):
            yield child
            yield from walk_run_time(child)


def imports(path: Path) -> set[str]:
    """The modules that a file imports at run time, inside functions too; ours by their full module name."""
    found = set()
    for node in walk_run_time(parse(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module_name(path).split(".")
            if path.name != "__init__.py":
                package = package[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if full in MODULES else base)
    return found


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def offenders(package: str, forbidden: tuple[str, ...]) -> list[str]:
    """'module imports other' for each import of a forbidden package from inside `package`."""
    return [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        if within(name, package)
        for other in sorted(imports(path))
        if any(within(other, word) for word in forbidden)
    ]


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("ltr", ("pytracking", "experiments", "tests")), ("pytracking", ("experiments", "tests"))],
)
def test_packages_import_downwards_only(package: str, forbidden: tuple[str, ...]) -> None:
    assert offenders(package, forbidden) == []


@pytest.mark.parametrize(
    ("package", "floors"),
    [
        ("ltr.ops", ("ltr.ops", "ltr.errors")),
        ("ltr.ebm", ("ltr.ops", "ltr.ebm", "ltr.errors")),
        ("ltr.admin.torch_file", ("ltr.admin.torch_file", "ltr.admin.pickle_walk", "ltr.errors")),
    ],
)
def test_ground_floors_of_ltr_import_nothing_above_them(package: str, floors: tuple[str, ...]) -> None:
    above = [
        line for line in offenders(package, ("ltr",)) if not any(within(line.split()[-1], floor) for floor in floors)
    ]
    assert above == []


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circular import in order, the first repeated at the end; empty if there is none."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, set())):
            circle = visit(other, [*trail, name])
            if circle:
                return circle
        done.add(name)
        return []

    for start in sorted(graph):
        circle = visit(start, [])
        if circle:
            return circle
    return []


def test_find_circle_finds_one() -> None:
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_circular_imports() -> None:
    graph = {name: {other for other in imports(path) if other in MODULES} - {name} for name, path in MODULES.items()}
    assert find_circle(graph) == []


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in [*FILES, *TEST_FILES]}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_import_lists_are_short() -> None:
    lengths = {name: sum(other in MODULES for other in imports(path)) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_IMPORT_LIST} == {}


def cited_pages(text: str) -> set[str]:
    """The pages of `docs` that a text names."""
    return set(re.findall(r"\bdocs/[\w/-]+\.md\b", text))


def cited_sections(text: str) -> set[str]:
    """The numbers of the sections of docs/reference.md that a text cites, such as {'4', '9'}."""
    cited = re.findall(r"docs/reference\.md,\s+sections? ([\d, and]*\d)", text)
    return {number for numbers in cited for number in re.findall(r"\d+", numbers)}


def test_citations_are_seen() -> None:
    text = "(docs/reference.md, sections 4 and 9), docs/reference.md, section 1, ML-MCMC; docs/images/a.png"
    assert cited_pages(text) == {"docs/reference.md"}
    assert cited_sections(text) == {"1", "4", "9"}


def test_what_the_code_cites_is_in_a_clone() -> None:
    sections = set(re.findall(r"^## (\d+)\. ", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE))
    for path in FILES:
        text = path.read_text()
        assert not re.search(r"\b(SPEC|DESIGN)(\.md|\b(?= section))|\bshared/\w+/", text), path
        assert {name for name in cited_pages(text) if not (ROOT / name).exists()} == set(), path
        assert cited_sections(text) <= sections, path


def dotted(node: ast.AST) -> str:
    """'a.b.c' for an expression of names and attributes, else ''."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        start = dotted(node.value)
        return f"{start}.{node.attr}" if start else ""
    return ""


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def forbidden_call(node: ast.Call) -> str:
    """Why a call is not allowed, or ''."""
    name = dotted(node.func)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in ("eval", "exec", "os.system", "os.popen"):
        return name
    if is_constant(keywords.get("shell"), True):
        return "shell=True"
    if name == "torch.load" and not is_constant(keywords.get("weights_only"), True):
        return "torch.load without weights_only=True"
    if is_constant(keywords.get("allow_pickle"), True):
        return "allow_pickle=True"
    return ""


def forbidden_uses(tree: ast.AST) -> list[str]:
    """'line: what' for pickle, eval, exec, shells, unsafe loading and changes to sys.path."""
    found = []
    for node in ast.walk(tree):
        reason = ""
        if isinstance(node, ast.Call):
            reason = forbidden_call(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            base = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            words = {name.split(".")[0] for name in [*base, *(alias.name for alias in node.names)]}
            if isinstance(node, ast.ImportFrom) and node.module == "sys" and "path" in words:
                reason = "sys.path"
            reason = reason or ", ".join(sorted(words & {"pickle", "cPickle", "dill", "shelve", "marshal", "joblib"}))
        elif dotted(node) == "sys.path":
            reason = "sys.path"
        if reason:
            found.append(f"{getattr(node, 'lineno', 0)}: {reason}")
    return found


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("import sys\nsys.path.insert(0, 'x')", 1),
        ("from sys import argv", 0),
        ("from sys import path", 1),
        ("import pickle", 1),
        ("from pickle import load", 1),
        ("eval('1')", 1),
        ("net.eval()", 0),
        ("subprocess.run('ls', shell=True)", 1),
        ("torch.load(p)", 1),
        ("torch.load(p, weights_only=True)", 0),
        ("np.load(p, allow_pickle=True)", 1),
        ("np.load(p, allow_pickle=False)", 0),
    ],
)
def test_forbidden_uses_are_seen(source: str, count: int) -> None:
    assert len(forbidden_uses(ast.parse(source))) == count


def test_no_forbidden_uses() -> None:
    assert [f"{path.relative_to(ROOT)}:{use}" for path in FILES for use in forbidden_uses(parse(path))] == []


def undocumented(tree: ast.Module) -> list[str]:
    """The public functions and classes of a module without a docstring, and the module itself as 'module'.

    Methods count too, but a class's docstring may speak for its `forward`; an empty `__init__.py` needs none.
    """
    found = ["module"] if tree.body and not ast.get_docstring(tree) else []
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            found.append(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name != "forward"]
            found += [f"{node.name}.{m.name}" for m in methods if m.name[0] != "_" and not ast.get_docstring(m)]
    return found


def test_undocumented_names_are_seen() -> None:
    source = "def open(): return 1\ndef _closed(): return 2\nclass A:\n    '''A.'''\n    def b(self): return 3\n"
    assert undocumented(ast.parse(source)) == ["module", "open", "A.b"]


def test_every_module_and_public_function_has_a_docstring() -> None:
    assert [f"{path.relative_to(ROOT)}: {name}" for path in FILES for name in undocumented(parse(path))] == []


def test_test_files_have_different_names() -> None:
    names = [path.name for path in TEST_FILES if path.name != "conftest.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []
