"""TLS from the device's side: whom a device trusts, and who it is itself."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from teltonika.codecs import TlsError
from teltonika.codecs.tls_files import identify, trust


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """How a device speaks TLS, 1.2 or later; devices of a fleet share one.

    The files are read when it is made, and only then. Raises TlsError.
    """

    ca_file: Path | None = None
    """PEM certificates of whom to trust; None trusts whom the system trusts."""
    cert_file: Path | None = None
    """The device's own certificate, and behind it those it is signed with, as PEM."""
    key_file: Path | None = None
    """Its private key, as PEM and not encrypted; None looks for it in ``cert_file``."""
    server_name: str | None = None
    """Whom the server's certificate must be for; None takes the host connected to."""
    insecure: bool = False
    """Take any certificate."""
    context: ssl.SSLContext = field(init=False, repr=False, compare=False)
    """Made of the above, once."""

    def __post_init__(self) -> None:
        if self.key_file is not None and self.cert_file is None:
            raise TlsError("a private key is of no use without its certificate")
        if self.insecure and self.ca_file is not None:
            raise TlsError("CA certificates are of no use where nothing is verified")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca_file is None:
            context.load_default_certs()
        else:
            trust(context, self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            identify(context, self.cert_file, self.key_file)
        if self.server_name is not None:
            _check_name(context, self.server_name)
        object.__setattr__(self, "context", context)


def _check_name(context: ssl.SSLContext, name: str) -> None:
    try:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    except (ValueError, TypeError) as error:
        raise TlsError(f"{name!r} is no name that a server's certificate can be for") from error
