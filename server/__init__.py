"""The ingest server: sockets to sessions to the publisher to a Redis stream."""

from teltonika.server.app import Listening, serve
from teltonika.server.config import ServerSettings
from teltonika.server.errors import ServerError

__all__ = ["Listening", "ServerError", "ServerSettings", "serve"]
