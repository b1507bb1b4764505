"""The structure of the code: import contracts (pyproject.toml), and modules and functions that fit a screen."""

import ast
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "buildlib"
MODULES = sorted(PACKAGE.rglob("*.py"))


def lint_imports(root):
    program = Path(sysconfig.get_path("scripts"), "lint-imports")
    return subprocess.run(
        [program, "--no-cache", "--config", root / "pyproject.toml"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.processes
def test_the_contracts_hold_and_a_forbidden_import_breaks_them(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "buildlib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    kept = lint_imports(tmp_path)
    assert (kept.returncode, "8 kept, 0 broken" in kept.stdout) == (0, True), kept.stdout

    plan = tmp_path / "buildlib" / "core" / "plan.py"
    plan.write_text(f"{plan.read_text()}\n\nimport docker\n\nfrom buildlib.images import push\n")
    broken = lint_imports(tmp_path)
    assert (broken.returncode, "6 kept, 2 broken" in broken.stdout) == (1, True), broken.stdout
    assert "buildlib.core.plan -> docker" in broken.stdout
    assert "buildlib.core is not allowed to import buildlib.images" in " ".join(broken.stdout.split())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [f.name for f in functions if f.end_lineno - f.lineno + 1 > 50] == []
    assert text.count("\n") <= 300


def test_packages_stay_small_and_say_what_they_hold():
    """No package much over 2,000 lines (lint excepted); three to ten lines of docstring in each."""
    packages = sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)
    lines = {
        package.relative_to(PACKAGE).as_posix(): sum(file.read_text().count("\n") for file in package.rglob("*.py"))
        for package in packages
    }
    assert {name: count for name, count in lines.items() if count > 2300 and not name.startswith("lint")} == {}
    docstrings = {package: ast.get_docstring(ast.parse((package / "__init__.py").read_text())) for package in packages}
    short = {
        str(package.relative_to(PACKAGE)): text
        for package, text in docstrings.items()
        if not 3 <= len((text or "").splitlines()) <= 10
    }
    assert short == {}


# Programs of their own.
STANDALONE = [
    "emulation/sandbox.py", "rust/linker.py", "testing/child_processes.py", "testing/instruction_log.py", "testing/private_binfmt.py",
    "testing/test_runner.py",
]  # fmt: skip


@pytest.mark.parametrize("program", STANDALONE)
def test_programs_of_their_own_import_the_standard_library_alone(program):
    """They run in every link, before every test binary, and for every count: a start of buildlib would cost more than they do."""
    import sys

    tree = ast.parse((PACKAGE / program).read_text(encoding="utf-8"))
    imports = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imports |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imports <= sys.stdlib_module_names
