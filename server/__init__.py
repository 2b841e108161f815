"""The ingest server: sockets to sessions to the publisher to a Redis stream."""

from typing import TYPE_CHECKING

__all__ = ["Listening", "ServerError", "ServerSettings", "serve"]

if TYPE_CHECKING:
    from teltonika.server.app import Listening, serve
    from teltonika.server.config import ServerSettings
    from teltonika.server.errors import ServerError
else:

    def __getattr__(name: str) -> object:
        """Imported when it is asked for: not all who need a part of this need all of it."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415

        homes = {"ServerSettings": "config", "ServerError": "errors"}
        return getattr(import_module(f"{__name__}.{homes.get(name, 'app')}"), name)
