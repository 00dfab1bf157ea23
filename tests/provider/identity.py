"""A certificate for 127.0.0.1 and its key, for servers of the tests that speak TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Made for these tests alone, with `openssl req -x509 -newkey ec -nodes -days 36500`.
OF_THIS_MACHINE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxPswqgN4jHfCLppO
YTsUNs3NLo+KIbQCFooONwZt3XOhRANCAAQG1fIicEf/E9wCHYRwxMydA2JXDaGJ
sf4gBFcsRoPhKpL44A9s0rkeRYdwbKseYYCpkon0qICc2OYpWW2zs4Q4
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBpTCCAUqgAwIBAgIUZJQrD6MoET7rtdBJVf/SMfMjZ6MwCgYIKoZIzj0EAwIw
HjEcMBoGA1UEAwwTdGVzdHMgb2YgaW1hZ2ViYXRjaDAgFw0yNjExMjMwMDMzMjBa
GA8yMTI2MTAzMDAwMzMyMFowHjEcMBoGA1UEAwwTdGVzdHMgb2YgaW1hZ2ViYXRj
aDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAbV8iJwR/8T3AIdhHDEzJ0DYlcN
oYmx/iAEVyxGg+EqkvjgD2zSuR5Fh3Bsqx5hgKmSifSogJzY5ilZbbOzhDijZDBi
MB0GA1UdDgQWBBQZddr25euFAI+MLlTsidbOdNUQ7DAfBgNVHSMEGDAWgBQZddr2
5euFAI+MLlTsidbOdNUQ7DAPBgNVHRMBAf8EBTADAQH/MA8GA1UdEQQIMAaHBH8A
AAEwCgYIKoZIzj0EAwIDSQAwRgIhAKsXNQd7ZzqAcVZWt8zgvMJc2QJikTvGqVEg
Y5X2PBK0AiEAjtAlkM4E2OtKIzgL+MsumNnQnuyLClOk72Ns4Fq+kIo=
-----END CERTIFICATE-----
"""


def server_side(folder: Path, identity: str) -> ssl.SSLContext:
    (folder / "identity.pem").write_text(identity)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "identity.pem")
    return context
