"""TLS between devices and the server."""

import ssl
from pathlib import Path

from teltonika.server.errors import TlsError


class ServerTls:
    """The server's certificate, and whose clients it takes; from files that may change.

    ``context`` is for connections to come. ``client_ca`` is a file of certificates: one of them
    must have signed that of each device. Raises TlsError.
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
        named = f"{self._cert}" if self._key is None else f"{self._cert} and {self._key}"
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            raise TlsError(f"cannot use the certificate {named}: {_reason(error)}") from None
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self._client_ca)
            except (OSError, ValueError) as error:
                raise TlsError(
                    f"cannot use the certificates in {self._client_ca}: {_reason(error)}"
                ) from None
        return context


def _no_password() -> str:
    """What OpenSSL would ask the terminal for."""
    raise ValueError("its key has a password; decrypt it (openssl pkey -in KEY -out KEY)")


def _reason(error: Exception) -> str:
    match error:
        case ssl.SSLError(reason="KEY_VALUES_MISMATCH"):
            return "the key is another certificate's"
        case ssl.SSLError():
            return "expected PEM: -----BEGIN CERTIFICATE-----, and a private key"
        case OSError(strerror=str(text)):
            return text
        case _:
            return str(error)
