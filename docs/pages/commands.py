"""`command-line.md` and `commands/NAME.md`: every command with its arguments and options, as the program knows them.

In: the commands of Typer. Out: a page for each, and one that lists them with the exit codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pages.errors import exit_codes
from pages.tables import plain, sentence, table

PROGRAM = "inkdigit"
KINDS = {"str": "TEXT", "int range": "INT", "float range": "FLOAT"}  # Typer's names of types → ours


def pages() -> dict[str, str]:
    """The pages by their names."""
    import typer

    from inkdigit.cli.app import app

    program = typer.main.get_command(app)
    commands = list(visible(program))
    made = {f"commands/{name.replace(' ', '-')}.md": page(name, command) for name, command in commands}
    return {"command-line.md": index(program, commands), **made}


def visible(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that a user can see, by its words; those of a group come after the group."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        yield " ".join((*words, name)), command
        if getattr(command, "commands", None):
            yield from visible(command, (*words, name))


def index(program: Any, commands: list[tuple[str, Any]]) -> str:
    """The page that lists the commands."""
    rows = [[link(name, "commands/"), about(command)] for name, command in commands]
    parts = [
        "# The command line",
        "Results go to stdout, messages and progress to stderr. Every command has `--help`.",
        "## Commands",
        table(["command", "what it does"], rows),
        "## Options before the command",
        options(program),
        "## Exit codes",
        f"{exit_codes()}\n\nWhich error has which code: [errors](errors.md).",
    ]
    return "\n\n".join(parts) + "\n"


def page(name: str, command: Any) -> str:
    """The page of one command, or of a group of commands."""
    if members := getattr(command, "commands", None):
        rows = [[link(f"{name} {word}", ""), about(member)] for word, member in members.items()]
        parts = [f"# {PROGRAM} {name}", about(command), table(["command", "what it does"], rows)]
        return "\n\n".join(parts) + "\n"
    text, _, example = str(command.help).partition("Example:")
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    usage = " ".join([PROGRAM, name, *map(argument_usage, arguments), "[OPTIONS]"])
    parts = [f"# {PROGRAM} {name}", *map(sentence, text.strip().split("\n\n")), f"```text\n{usage}\n```"]
    if example:
        parts += [f"```sh\n{example.strip()}\n```"]
    if arguments:
        rows = [[f"`{label(one)}`", value(one), plain(one.help or "")] for one in arguments]
        parts += ["## Arguments", table(["argument", "needed", "meaning"], rows)]
    parts += ["## Options", options(command)]
    parts += ["Exit codes are those of the [command line](../command-line.md#exit-codes)."]
    return "\n\n".join(parts) + "\n"


def link(name: str, folder: str) -> str:
    """A link to the page of a command."""
    return f"[`{PROGRAM} {name}`]({folder}{name.replace(' ', '-')}.md)"


def about(command: Any) -> str:
    """The first sentence of a command's help."""
    return sentence(str(command.help).split("\n\n")[0].partition("Example:")[0])


def options(command: Any) -> str:
    """The table of a command's options."""
    rows = [
        [", ".join(f"`{word}`" for word in [*one.opts, *one.secondary_opts]), value(one), plain(one.help or "")]
        for one in command.params
        if one.param_type_name == "option" and not one.hidden and "completion" not in one.name
    ]
    return table(["option", "value", "meaning"], [*rows, ["`--help`, `-h`", "", "Show the help and exit."]])


def value(param: Any) -> str:
    """What a parameter takes: its kind, its default, the variable that stands in for it, whether it may come again."""
    parts = []
    if param.param_type_name == "option":
        flag, several = param.is_flag, "may be repeated" if param.multiple else ""
        parts += ["" if flag else f"`{param.metavar or kind(param)}`", "required" if param.required else "", several]
    else:
        flag = False
        parts += ["required" if param.required else "optional", "one or more" if param.nargs == -1 else ""]
    if not flag and not param.required and param.default not in (None, (), []):
        parts.append(f"by default `{param.default}`")
    if param.envvar:
        parts.append(f"or the variable `{param.envvar}`")
    return ", ".join(part for part in parts if part)


def kind(param: Any) -> str:
    """The kind of a value, in capitals, and its limits."""
    name = getattr(param.type, "name", "text")
    low, high = getattr(param.type, "min", None), getattr(param.type, "max", None)
    limits = f" from {low}" * (low is not None) + f" to {high}" * (high is not None)
    return KINDS.get(name, str(name).upper()) + limits


def label(param: Any) -> str:
    """The name of an argument, in capitals."""
    return str(param.metavar or param.name.upper()).strip("[]")


def argument_usage(param: Any) -> str:
    """An argument in the line of usage: optional ones in brackets."""
    return label(param) if param.required else f"[{label(param)}]"
