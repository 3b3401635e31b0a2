"""Commands that consist of named ones: `limner VERB`, `limner bench WHAT`, `limner prepare SOURCE`."""

import sys
from collections.abc import Mapping, Sequence

from limner.core.util.errors import UserError
from limner.core.util.text import did_you_mean, two_columns


def pick(prog: str, about: str, table: Mapping[str, str], args: Sequence[str] | None) -> tuple[str, list[str]]:
    """The name in `table` that the first argument is, and the arguments after it.

    table: name -> description. args: None: those of this process.
    `--help` in its place prints the table and exits 0; a UserError for no name or another one.
    """
    given = list(sys.argv[1:] if args is None else args)
    allowed = ", ".join(table)
    if not given:
        raise UserError(f"{prog} needs one of {allowed}; see {prog} --help")
    name, *rest = given
    if name in ("-h", "--help"):
        print(f"usage: {prog} {{{','.join(table)}}} ...\n\n{about}\n\n{two_columns(table.items())}\n")
        print(f"{prog} {next(iter(table))} --help, and likewise for the others, shows the options.")
        sys.exit(0)
    if name not in table:
        raise UserError(f"unknown command '{prog} {name}'{did_you_mean(name, table)} (allowed: {allowed})")
    return name, rest
