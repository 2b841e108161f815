"""PEM files as a context for TLS: what both ends of an encrypted session make of their files.

The one thing here that reads files; it does so when it is asked to, and opens nothing else.
"""

import re
import ssl
from pathlib import Path

from teltonika.codecs.errors import TlsError


def trust(context: ssl.SSLContext, ca_file: Path) -> None:
    """Take those for trustworthy whom a certificate of ``ca_file`` has signed. Raises TlsError."""
    if not _CERTIFICATE.search(_read(ca_file, "the CA file")):
        raise TlsError(f"the CA file {ca_file} holds no certificate in PEM form")
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise TlsError(f"the CA file {ca_file} is broken: {openssl_words(error)}") from error


def identify(context: ssl.SSLContext, cert_file: Path, key_file: Path | None) -> None:
    """Be who ``cert_file`` says, with its private key; None: that stands in it, too.

    The key must not be encrypted: nobody is asked for a password. Raises TlsError.
    """
    key_file = key_file or cert_file
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
