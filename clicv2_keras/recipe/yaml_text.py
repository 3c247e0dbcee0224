"""YAML as recipes are written: what could be read in two ways is a mistake, and no text takes long to read."""

import re

import yaml

from clicv2_keras.utils.errors import UserError

INT, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


class _Loader(yaml.SafeLoader):
    """PyYAML's, without aliases, keys that are there twice, and YAML 1.1's numbers: 010 was 8, and 12:30 was 750."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (INT, FLOAT)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, f"the alias *{alias.anchor} is not read; write it out", alias.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(INT, re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    FLOAT,
    re.compile(r"([-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"),
    list("-+0123456789."),
)


def parse_yaml(text, where):
    """What a text says: plain dicts, lists, texts and numbers.

    Raises:
        UserError: one line that begins with `where`.
    """
    try:
        # A loader of PyYAML's safe kind: no text makes it call anything.
        return yaml.load(text, _Loader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", "unreadable")
        raise UserError(f"{where}: not valid YAML{line}: {problem}") from None
    except RecursionError:
        raise UserError(f"{where}: not valid YAML: nested too deeply") from None
    # A day that no month has; a value that is not of the type its tag says.
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        reason = error if isinstance(error, ValueError) else "a value is not of the type that its tag says"
        raise UserError(f"{where}: not valid YAML: {reason}") from None
