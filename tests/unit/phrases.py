"""The table of phrases in docs/explain-phrases.md: how many each file of rules has, and which sources were read for them.

`python tests/unit/phrases.py` writes it; `failures/test_classify.py` compares the two.
"""

import sys
import tomllib
from pathlib import Path

from buildlib.failures.rule import RULES

PAGE = Path(__file__).parents[2] / "docs" / "explain-phrases.md"
HEAD = """# Phrases of explain

How many phrases of each tool [explain](explain.md) knows. The phrases, and the files and functions that have them, are in
`buildlib/failures/rules/`. A repository was read at the commit or release that is named; `observed` are programs that print or contain
the words. Unconfirmed phrases were found in neither: most are of older versions, or of services. This table is generated from the
rules.

"""
TABLE = "| file | words of | phrases | of these unconfirmed | read |\n|---|---|---|---|---|\n"


def page() -> str:
    """The whole page."""
    rows, phrases, unconfirmed = [], 0, 0
    for path in sorted(RULES.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        file = tomllib.loads(text)
        words = [table for table in (*file.get("rule", ()), *file.get("phrases", ())) if table.get("phrases")]
        if not words:
            continue
        own = {phrase for table in words for phrase in table["phrases"]}
        sources = [source for table in words for source in table["source"]]
        listed = ", ".join(
            source.removeprefix("unconfirmed: ") for source in sources if source.startswith("unconfirmed: ")
        )
        missing = {phrase for phrase in own if f'"{phrase}"' in listed}
        repositories = [f"{name} {version}" for name, version in file.get("versions", {}).items()]
        others = sorted({source for source in sources if source.startswith(("observed: ", "documentation: ", "RFC "))})
        seen = [source.removeprefix("observed: ") for source in others if source.startswith("observed: ")]
        others = [source for source in others if not source.startswith("observed: ")]
        others += [f"observed: {', '.join(seen)}"] if seen else []
        title = text.partition("\n")[0].removeprefix("# ").removesuffix(".")
        rows.append(
            f"| {path.stem} | {title} | {len(own)} | {len(missing)} | {'; '.join((*repositories, *others))} |\n"
        )
        phrases, unconfirmed = phrases + len(own), unconfirmed + len(missing)
    return f"{HEAD}{TABLE}{''.join(rows)}| all | | {phrases} | {unconfirmed} | |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
