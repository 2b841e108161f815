"""TLS from the device's side: whom a device trusts, and who it is itself."""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from teltonika.codecs import TeltonikaError


class TlsError(TeltonikaError):
    """A file or a name that TLS cannot be spoken with; the message says which, and why."""


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
        context = _trusting(self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            _identify(context, self.cert_file, self.key_file or self.cert_file)
        if self.server_name is not None:
            _check_name(context, self.server_name)
        object.__setattr__(self, "context", context)


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return ssl.create_default_context()
    if not _CERTIFICATE.search(_read(ca_file, "the CA file")):
        raise TlsError(f"the CA file {ca_file} holds no certificate in PEM form")
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise TlsError(f"the CA file {ca_file} is broken: {openssl_words(error)}") from error


def _identify(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    if not _CERTIFICATE.search(_read(cert_file, "the certificate file")):
        raise TlsError(f"the certificate file {cert_file} holds no certificate in PEM form")
    if not _PRIVATE_KEY.search(_read(key_file, "the key file")):
        raise TlsError(f"the key file {key_file} holds no private key in PEM form")

    def refuse() -> bytes:  # asked for a password: without this, OpenSSL asks the terminal
        raise TlsError(f"the private key in {key_file} is encrypted: give one that is not")

    try:
        context.load_cert_chain(cert_file, key_file, refuse)
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            message = f"the private key in {key_file} does not belong to the certificate in "
            raise TlsError(f"{message}{cert_file}") from error
        files = str(cert_file) if key_file == cert_file else f"{cert_file} or {key_file}"
        raise TlsError(f"{files} is broken: {openssl_words(error)}") from error


def _check_name(context: ssl.SSLContext, name: str) -> None:
    try:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    except (ValueError, TypeError) as error:
        raise TlsError(f"{name!r} is no name that a server's certificate can be for") from error


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise TlsError(f"{what} {path} cannot be read: {reason.lower()}") from error


_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_MISMATCHES = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}


def openssl_words(error: ssl.SSLError) -> str:
    """OpenSSL's own words, without its codes: "no start line"."""
    return (error.reason or str(error)).replace("_", " ").lower()
