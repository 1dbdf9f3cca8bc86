"""A command made of commands: its usage, its dispatch and its tab completion, for both packages."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence

from ltr.errors import EXIT_USER_ERROR, UserError, unknown_name

# Name -> (module with `build_parser()` and `main(arguments)`, help in one line).
Scripts = Mapping[str, tuple[str, str]]
# Name -> (function that makes its text, help in one line).
Lists = Mapping[str, tuple[Callable[[], str], str]]


def run(
    program: str, scripts: Scripts, examples: str, lists: Lists | None = None, arguments: Sequence[str] | None = None
) -> int:
    """Run one of the commands.

    Args:
        program: words that the user types before the command.
        examples: lines at the end of the usage.
        arguments: command and options; those of the process when left out.

    Returns:
        Its exit status; 2 without a command.

    Raises:
        UserError: an unknown command (the nearest is named).
    """
    lists = lists or {}
    _complete(program, scripts, lists)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_usage(program, scripts, examples, lists), file=sys.stdout if given else sys.stderr)
        return 0 if given else EXIT_USER_ERROR
    command, *rest = given
    if command in scripts:
        status: int = importlib.import_module(scripts[command][0]).main(rest)
        return status
    if command not in lists:
        raise unknown_name("command", command, [*lists, *scripts])
    text, what = lists[command]
    if rest in (["-h"], ["--help"]):
        print(f"usage: {program} {command}\n\nLists {what}.")
        return 0
    if rest:
        raise UserError(f"'{command}' takes no arguments, got {shlex.join(rest)}")
    print(text())
    return 0


def _usage(program: str, scripts: Scripts, examples: str, lists: Lists) -> str:
    parts = [f"usage: {program} <command> [option ...]"]
    for title, commands in (("Lists", lists), ("Commands (--help tells the options of each)", scripts)):
        if commands:
            parts.append("\n".join([title, *(f"  {name:14s} {entry[1]}" for name, entry in commands.items())]))
    return "\n\n".join([*parts, "Examples\n" + examples])


def _complete(program: str, scripts: Scripts, lists: Lists) -> None:
    """Answer the shell's request for completions, and exit; returns at once where this is none."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    parser = argparse.ArgumentParser(prog=program)
    commands = parser.add_subparsers()
    typed = os.environ.get("COMP_LINE", "").split()
    for name, (_, what) in lists.items():
        commands.add_parser(name, help=what)
    for name, (module, what) in scripts.items():
        # Only the command that is typed needs its options.
        parents = [importlib.import_module(module).build_parser()] if name in typed else []
        commands.add_parser(name, help=what, parents=parents, add_help=not parents)
    argcomplete.autocomplete(parser)
