"""The list of all messages of buildlib: errors, warnings, notes and help texts, read from its source.

`python tests/unit/messages.py` writes it to messages.txt, to be read and edited as a whole; `test_messages.py` compares the two.
A name in braces stands for a value.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "buildlib"
LIST = Path(__file__).with_name("messages.txt")
# Errors, findings and requirements: classes whose arguments are shown to users.
CLASSES = (
    "BuildError", "UsageError", "NothingToDo", "MissingRequirements", "NetworkError", "Refused", "TestsFailed", "InternalError",
    "CompileFailed", "Interrupted", "Finding", "Problem", "Requirement",
)  # fmt: skip
METHODS = ("warn", "warn_once", "note", "note_at_once", "busy", "failure")


def messages() -> dict[str, list[str]]:
    """The messages of each module, sorted; those of `explain` by the files of its rules."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        found[str(path.relative_to(PACKAGE))] = sorted({*_of_calls(tree), *_of_returns(tree)})
    for path in sorted(PACKAGE.rglob("rules/*.toml")):
        rules = tomllib.loads(path.read_text("utf-8")).get("rule", ())
        found[str(path.relative_to(PACKAGE))] = sorted({rule["help"] for rule in rules if rule.get("help")})
    return {name: texts for name, texts in found.items() if texts}


def as_text(found: dict[str, list[str]]) -> str:
    """The list as a file: the name of a module, and its messages below it."""
    return "\n".join(
        "".join(f"{line}\n" for line in (name, *(f"  {text}" for text in texts))) for name, texts in found.items()
    )


def _of_calls(tree: ast.AST) -> Iterator[str]:
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef | ast.Module):
            names = _assigned(scope)
            for node in ast.walk(scope):
                if isinstance(node, ast.Call) and _is_message(node.func):
                    for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                        yield from _texts(argument, names)


def _of_returns(tree: ast.AST) -> Iterator[str]:
    """What functions return that say why something is wrong, as their docstrings put it."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and "hy " in (ast.get_docstring(function) or "").partition("\n")[0]:
            for node in ast.walk(function):
                if isinstance(node, ast.Return | ast.Yield) and node.value:
                    yield from _texts(node.value, _assigned(function))


def _is_message(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr in METHODS
    return isinstance(function, ast.Name) and function.id in CLASSES


def _assigned(scope: ast.AST) -> dict[str, list[ast.expr]]:
    """The values that a function gives to its names."""
    names: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    names.setdefault(target.id, []).append(node.value)
    return names


def _texts(node: ast.expr, names: dict[str, list[ast.expr]]) -> Iterator[str]:
    """The texts that an expression may be; words without a space are no sentences."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        texts = [node.value]
    elif isinstance(node, ast.JoinedStr):
        texts = ["".join(_part(part) for part in node.values)]
    elif isinstance(node, ast.IfExp):
        texts = [*_texts(node.body, names), *_texts(node.orelse, names)]
    elif isinstance(node, ast.Tuple | ast.List):
        texts = [text for element in node.elts for text in _texts(element, names)]
    elif isinstance(node, ast.Name):
        texts = [text for value in names.get(node.id, ()) for text in _texts(value, {})]
    else:
        texts = []
    yield from (" ".join(text.split()) for text in texts if " " in text.strip())


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        name = ast.unparse(part.value)
        return f"{{{name}}}" if name.replace(".", "").isidentifier() else "{}"
    return str(part.value) if isinstance(part, ast.Constant) else ""


if __name__ == "__main__":
    LIST.write_text(as_text(messages()), "utf-8")
    sys.stdout.write(f"{LIST}\n")
