"""TLS between devices and the server."""

import ssl
from pathlib import Path

from teltonika.codecs.tls_files import identify, trust


class ServerTls:
    """The server's certificate, and whose devices it takes; from files that may change.

    ``context`` is for connections to come. ``client_ca``: one of its certificates must have signed
    that of each device. Raises TlsError.
    """

    def __init__(self, cert: Path, key: Path | None, client_ca: Path | None) -> None:
        self._cert = cert
        self._key = key
        self._client_ca = client_ca
        self.context = self._load()

    def reload(self) -> None:
        """Read the files again. Raises TlsError; then what was read last stays in use."""
        self.context = self._load()

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        identify(context, self._cert, self._key)
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            trust(context, self._client_ca)
        return context
