"""Why a device has no connection, in the few words that a log line has room for."""

import os
import re
import ssl

from teltonika.codecs.tls_files import openssl_words
from teltonika.emulator.tls import TlsSettings


def why_not_connected(error: OSError, tls: TlsSettings | None = None) -> str:
    """Why an attempt to connect failed; ``tls`` is what was to be spoken."""
    match error:
        case TimeoutError():
            return "no answer to the connection request"
        case ConnectionAbortedError() if tls is not None:  # asyncio's own, of its time-out
            return "no answer to the TLS handshake"
        case ConnectionResetError() | ssl.SSLEOFError() if tls is not None:
            doubt = f"it may speak no TLS, or {_doubt(tls)}"
            return f"the server closed the connection in the TLS handshake: {doubt}"
        case ssl.SSLError(reason=str(reason)) if reason.endswith(_REFUSAL) and tls is not None:
            return f"the server refused the TLS handshake: it may {_doubt(tls)}"
        case _:
            return _describe(error)


def why_lost(error: Exception | None, tls: TlsSettings | None = None) -> str:
    """Why a connection ended; without ``error`` the server closed it.

    ``tls`` is what was spoken, if it ended before the server said anything. With TLS 1.3 a device
    takes the connection for made before the server has looked at its certificate, and many servers
    just close a connection whose certificate they do not take.
    """
    if error is None:
        reason = "the server closed the connection"
    else:
        reason = _describe(error)
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return reason
    return reason if tls is None else f"{reason} before it answered the IMEI: it may {_doubt(tls)}"


def _doubt(tls: TlsSettings) -> str:
    if tls.cert_file is None:
        return "demand a certificate of the device"
    return "not take the device's certificate"


def _describe(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return _describe_distrust(error)
        case ssl.SSLEOFError():
            return "the server closed the connection"
        case ssl.SSLError():
            reason = _PREFIX.sub("", error.reason or "")
            return _OPENSSL_REASONS.get(reason) or f"TLS failed: {openssl_words(error)}"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number).lower()
        case OSError(strerror=str(text)):  # a host name that cannot be resolved: its own numbers
            return text.lower()
        case _:
            return str(error)


def _describe_distrust(error: ssl.SSLCertVerificationError) -> str:
    text = error.verify_message.rstrip(".")
    if error.verify_code in _WRONG_NAME:  # "Hostname mismatch, certificate is not valid for …"
        return f"the server's {text.rpartition(', ')[2]}"
    return f"the server's certificate is not trusted: {text}"


_WRONG_NAME = {62, 64}
"""X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH."""

_PREFIX = re.compile(r"^(?:TLSV\d+|SSLV3)_(?=ALERT_)")
"""The version in whose standard an alert appeared first; says nothing about the connection's."""

_REFUSAL = "ALERT_HANDSHAKE_FAILURE"
"""What a server of TLS 1.2 says that misses a certificate, or finds nothing in common."""

_NO_TLS = "the server speaks no TLS"
_TOO_OLD = "the server speaks no TLS from 1.2 on"
_NOT_TAKEN = "the server does not take the device's certificate"
_OPENSSL_REASONS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "ALERT_CERTIFICATE_REQUIRED": "the server demands a certificate of the device",
    "ALERT_UNKNOWN_CA": "the server does not trust the device's certificate",
    "ALERT_BAD_CERTIFICATE": _NOT_TAKEN,
    "ALERT_CERTIFICATE_UNKNOWN": _NOT_TAKEN,
    "ALERT_UNSUPPORTED_CERTIFICATE": _NOT_TAKEN,
    "ALERT_CERTIFICATE_EXPIRED": "the device's certificate has expired",
    "ALERT_CERTIFICATE_REVOKED": "the device's certificate was revoked",
}
