"""Options that several commands take, declared once: as the parameters of what reads them."""

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Concatenate, ParamSpec, TypeVar, cast

ReadT = TypeVar("ReadT")
OwnP = ParamSpec("OwnP")


def with_options_of(
    read: Callable[..., ReadT],
) -> Callable[[Callable[Concatenate[ReadT, OwnP], None]], Callable[..., None]]:
    """A command takes the options of ``read``, then its own; it is called with what was read.

    The context that it names is the one that ``read`` was given.
    """

    def decorate(command: Callable[Concatenate[ReadT, OwnP], None]) -> Callable[..., None]:
        shared = signature(read, eval_str=True).parameters
        _, *own = signature(command, eval_str=True).parameters.values()
        parameters = [*shared.values(), *(one for one in own if one.name not in shared)]

        call = cast("Callable[..., None]", command)  # with options that no type can name

        def run(**given: object) -> None:
            settings = read(**{name: given[name] for name in shared})
            call(settings, **{one.name: given[one.name] for one in own})

        run.__name__ = command.__name__
        run.__doc__ = command.__doc__
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__signature__ = Signature(  # type: ignore[attr-defined]
            [one.replace(kind=Parameter.KEYWORD_ONLY) for one in parameters]
        )
        return run

    return decorate
