"""A hook of mkdocs: pages made of what the repository says already, so that the site never says another thing."""

import posixpath
import re
from pathlib import Path

import click
from mkdocs.structure.files import File

import clicv2_keras
from clicv2_keras.cli.main import COMMANDS, main
from clicv2_keras.recipe.files import shipped_recipes
from clicv2_keras.recipe.text import schema_sections

ROOT = Path(__file__).resolve().parents[1]
# The page that each file of the repository becomes; those of docs/ are themselves.
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
PAGES["saved_models/README.md"] = "models/index.md"
RESULTS = sorted(ROOT.glob("benchmarks/results/*.md"))
PAGES |= {f"benchmarks/results/{path.name}": f"measurements/{path.name}" for path in RESULTS}
PAGES |= {
    path.relative_to(ROOT).as_posix(): f"models/{path.parent.name}.md" for path in ROOT.glob("saved_models/*/*.md")
}
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^):#]+)(?:#[^)]*)?\)")
TARGET = re.compile(r"\]\(([^):#]+)")
# A figure and its interval, which stay in one line.
INTERVAL = re.compile(r"(\.\d+\**) (\[[+−-]?\.\d+), ([+−-]?\.\d+\])")

COMPLETION = """\
# Commands

`clicv2-keras COMMAND --help` prints what stands below. A mistake is told without a traceback, with exit code 2;
what the place is at fault for (a full disk, a lost folder) is 1.

**Completion** of commands, options and their values by Tab: add the line of your shell to its start-up file.

| shell | file | line |
| --- | --- | --- |
| Bash 4.4 | `~/.bashrc` | `eval "$(_CLICV2_KERAS_COMPLETE=bash_source clicv2-keras)"` |
| Zsh | `~/.zshrc` | `eval "$(_CLICV2_KERAS_COMPLETE=zsh_source clicv2-keras)"` |
| Fish | `~/.config/fish/completions/clicv2-keras.fish` | `_CLICV2_KERAS_COMPLETE=fish_source clicv2-keras | source` |
"""


def on_files(files, config):
    """Add the pages that are made here."""
    made = {page: (ROOT / source).read_text(encoding="utf-8") for source, page in PAGES.items()}
    # The picture wants the whole width.
    made["index.md"] = f"---\nhide: [navigation, toc]\n---\n{made['index.md']}"
    made |= {
        "measurements/index.md": measurements_page(),
        "models/index.md": models_page(),
        "reference/commands.md": commands_page(),
        "reference/functions.md": names_page("Functions", str.islower),
        "reference/classes.md": names_page("Classes", lambda initial: not initial.islower()),
        "reference/recipe.md": schema_page(),
        "reference/recipes.md": recipes_page(),
    }
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Let links between files of the repository lead to their pages; what has none is text."""
    uri = page.file.src_uri
    folder = posixpath.dirname(SOURCES.get(uri, f"docs/{uri}"))

    def page_of(path):
        found = PAGES.get(path) or path.removeprefix("docs/")
        return found if found != path and files.get_file_from_path(found) else None

    def unlinked(match):
        # A link that leads nowhere stays, and mkdocs refuses it.
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        return match[0] if page_of(path) or not (ROOT / path).exists() else match[1]

    def relinked(match):
        found = page_of(posixpath.normpath(posixpath.join(folder, match[1])))
        return f"]({posixpath.relpath(found, posixpath.dirname(uri) or '.')}" if found else match[0]

    markdown = TARGET.sub(relinked, LINK.sub(unlinked, markdown))
    return INTERVAL.sub("\\1\u00a0\\2,\u00a0\\3", markdown)


def measurements_page():
    """The titles of what was measured, each with its page."""
    lines = ["# Measurements", "", "Each says the command that printed it, and the machine.", ""]
    for path in RESULTS:
        lines.append(f"- [{path.read_text(encoding='utf-8').partition(chr(10))[0].removeprefix('# ')}]({path.name})")
    return "\n".join(lines)


def models_page():
    """A row a model, from its card: the name, what it is, its size; the card is the page behind it."""
    lines = ["# Model zoo", "", (ROOT / "saved_models" / "README.md").read_text(encoding="utf-8").split("\n", 1)[1]]
    lines += ["", "| model | for | what it is | SRCC | licence | TFLite, dynamic int8 |", f"|{' --- |' * 6}"]
    for model in clicv2_keras.list_models():
        size = f"{model.size / 1e6:.1f} MB"
        cells = (model.purpose, model.what, model.agreement, model.licence, size)
        lines.append(f"| [{model.name}]({model.name}.md) | {' | '.join(cells)} |")
    lines += ["", "Intervals, and what one would use instead: [Results](../results.md)."]
    return "\n".join(lines)


def commands_page():
    """Every command's `--help`."""
    lines = [COMPLETION]
    for name in COMMANDS:
        context = click.Context(main.get_command(None, name), info_name=f"clicv2-keras {name}", terminal_width=100)
        lines += [f"## {name}", "", "```text", context.get_help(), "```", ""]
    return "\n".join(lines)


def names_page(title, wanted):
    """The public names of one kind, with their docstrings."""
    names = [name for name in clicv2_keras.__all__ if not name.startswith("_") and wanted(name[0])]
    lines = [f"# {title}", "", "All stand at the top level and are loaded when they are first used."]
    return "\n\n".join([*lines, *(f"::: clicv2_keras.{name}" for name in names)])


def schema_page():
    """Every key of a recipe, from the schema itself."""
    lines = [
        "# Recipe keys",
        "",
        "A recipe is a YAML file; every key can be left out. `clicv2-keras recipe` prints this.",
    ]
    for section, meaning, keys in schema_sections():
        lines += ["", f"## `{section}`" if section else "## At the top", "", f"{meaning}".strip()]
        lines += ["", "| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        for key, kind, default, description in keys:
            cells = (f"`{key}`", kind, f"`{default}`", description)
            lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def recipes_page():
    """The shipped recipes as they are."""
    lines = [
        "# Shipped recipes",
        "",
        "By name: `clicv2-keras train quickstart`, `clicv2-keras recipe ablation/clicv2`.",
    ]
    for name in shipped_recipes():
        text = (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
        lines += ["", f"## {name}", "", "```yaml", text.rstrip(), "```"]
    return "\n".join(lines)
