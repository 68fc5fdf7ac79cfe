"""Certificates that servers of AWS are trusted by: the same for boto3, libcurl and obstore.

**Input:** the file that AWS_CA_BUNDLE or the profile names, and what a client said of a connection.
**Output:** the file, once it is known to be usable, or an error with a hint.
"""

from __future__ import annotations

import re

from dolambda.errors import ConfigurationError

UNTRUSTED_S = 30.0
"""Seconds in which a request to a server that is not trusted is repeated: it may be the login page
of another network.
"""

_SIGNS = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|InvalidCertificate|certificate verif|SSL certificate|trust anchor"
)
"""What OpenSSL, rustls and libcurl say of a server that they do not trust."""

UNTRUSTED_HINT = (
    "The server's certificate is not trusted here. A proxy that inspects TLS has an authority of "
    "its own: set AWS_CA_BUNDLE, or ca_bundle in ~/.aws/config, to a file with its certificate."
)


def is_untrusted(said: str) -> bool:
    """Return whether a client did not trust the server, by what it said."""
    return bool(_SIGNS.search(said))


def checked(path: str) -> str:
    """Return the path of a file with certificates.

    Raises:
        ConfigurationError: The file cannot be read, or no certificate is in it.
    """
    import ssl  # noqa: PLC0415 - slow

    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one too
        why = "no certificate is in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError(
            f"the certificates in {path!r} cannot be read: {why}",
            hint="Correct AWS_CA_BUNDLE, or ca_bundle in ~/.aws/config.",
        ) from error
    return path
