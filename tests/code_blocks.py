"""The code blocks of README and docs: what they say, and a shell script that does it.

A comment before a block that cannot run here says why: `<!-- not run: REASON -->`; `<!-- dry run -->` gives
`--dry-run` to what would train for long. `evaluate` asks one untrained encoder there, not five, which take minutes.
`python tests/code_blocks.py PAGE` prints the script.
"""

import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"(?:^<!-- (not run: [^\n]+|dry run) -->\n)?^```(\w+)([^\n]*)\n(.*?)^```$", re.M | re.S)
_OPERATORS = {"|", "||", "&&", ";", "&", "(", ")", ">", "<"}


class Block(NamedTuple):
    """A block: its language, its code, and what the comment before it says."""

    language: str
    code: str
    note: str

    @property
    def runs(self):
        return self.language in ("bash", "python") and not self.note.startswith("not run")

    @property
    def lines(self):
        """The lines of a shell block, those that a backslash continues as one."""
        return self.code.replace("\\\n", " ").splitlines()

    @property
    def commands(self):
        """The commands of a shell block, each as its words."""
        found = [[]]
        for line in self.lines:
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            for word in lexer:
                found.append([]) if word in _OPERATORS else found[-1].append(word)
            found.append([])
        return [words for words in found if words]


def code_blocks(page):
    """The blocks of a page, in order. What a page takes in from elsewhere (`--8<--`) is not its own."""
    found = (match.groups(default="") for match in _BLOCK.finditer(page.read_text(encoding="utf-8")))
    return [Block(language, code, note) for note, language, _, code in found if not code.startswith("--8<--")]


def script(page, installs=True):
    """A Bash script of all blocks of a page that run, in order."""
    parts = ["set -euo pipefail"]
    for block in filter(lambda block: block.runs, code_blocks(page)):
        if block.language == "python":
            parts.append(f"python - <<'END_OF_BLOCK'\n{block.code}END_OF_BLOCK")
            continue
        code = "\n".join(line for line in block.lines if installs or not line.startswith("pip install"))
        code = _with_option("evaluate", "--untrained-seeds", " 1", code)
        parts.append(_with_option("train|ablate", "--dry-run", "", code) if block.note == "dry run" else code)
    return "\n\n".join(parts) + "\n"


def _with_option(verbs, option, value, code):
    """The code, its commands of these verbs with an option more, before the comment of their line."""
    lines = rf"^(clicv2-keras (?:{verbs}) (?!.*{option})[^#\n]*?)( *#.*)?$"
    return re.sub(lines, rf"\1 {option}{value}\2", code, flags=re.M)


if __name__ == "__main__":
    print(script(Path(sys.argv[1])), end="")
