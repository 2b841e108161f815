"""HOST:PORT on the command line."""


def split_address(text: str, *, lowest_port: int) -> tuple[str, int]:
    """Host and port; an IPv6 address stands in brackets. Raises ValueError, with a sentence."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    is_number = port.isascii() and port.isdigit() and len(port) <= 5
    if not (colon and host and is_number and lowest_port <= int(port) < 65536):
        raise ValueError(f"{text!r} is no address such as 127.0.0.1:5027 or [::1]:5027")
    return host, int(port)
