"""A sub-command whose module is imported only when it is asked for."""

from importlib import import_module
from typing import Any

import typer
from typer.main import get_command, get_group


def lazy_command(name: str, module_name: str) -> Any:
    """What ``module_name`` has: a function called ``name``, or an app with more of them."""
    module = import_module(module_name)
    if hasattr(module, "app"):
        group = get_group(module.app)
        group.name = name
        return group
    # Every option of every command can come from TELTONIKA_<OPTION>: given to each command
    # itself, the prefix is taken as it is; given to the group, click would put the command's
    # name into it.
    single = typer.Typer(
        add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False
    )
    single.command(name, context_settings={"auto_envvar_prefix": "TELTONIKA"})(
        getattr(module, name)
    )
    return get_command(single)
