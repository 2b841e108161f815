"""What is wrong with a route."""

from teltonika.codecs import TeltonikaError


class RouteError(TeltonikaError):
    """A file that is no route, or a route that cannot be driven so.

    The message is a sentence that names the file, the place in it (a line, a point) and the field.
    """
