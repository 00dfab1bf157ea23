"""A key travels to whom it is meant for, or stays: certificates are looked at, always."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING

import pytest
from beside import in_a_thread
from scripted import Script, scripted

from pipeline.core.model import Secret
from pipeline.core.ports import Break, Broken
from pipeline.provider.http import Address, Http, Patience

if TYPE_CHECKING:
    from pathlib import Path

    from commands import Desk

PATIENCE = Patience(connect_s=5, idle_s=5, total_s=10, most_body_bytes=10_000)
KEY = "sk-tls-0123456789abcdef"

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
OF_ELSEWHERE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOnjx48/PPbzmcKaW
DVHxvE6Ufxr6dlhsRi5YNoJzc2qhRANCAAROfr40ngePXPqi1ikofBRhEZwVGuT8
aF6s39I+G+Mww+Ngai8KRmfxRxKwkNtlcGfggZyQP2uC7ZMdiThqFJml
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBrTCCAVOgAwIBAgIUQHel0+4HvXyOmmvG2HOiZ6ly4TYwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRZWxzZXdoZXJlLmV4YW1wbGUwIBcNMjYxMTIzMDAzMzIwWhgP
MjEyNjEwMzAwMDMzMjBaMBwxGjAYBgNVBAMMEWVsc2V3aGVyZS5leGFtcGxlMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETn6+NJ4Hj1z6otYpKHwUYRGcFRrk/Ghe
rN/SPhvjMMPjYGovCkZn8UcSsJDbZXBn4IGckD9rgu2THYk4ahSZpaNxMG8wHQYD
VR0OBBYEFD6KawQl09xvsMyuxYb02S30z8HMMB8GA1UdIwQYMBaAFD6KawQl09xv
sMyuxYb02S30z8HMMA8GA1UdEwEB/wQFMAMBAf8wHAYDVR0RBBUwE4IRZWxzZXdo
ZXJlLmV4YW1wbGUwCgYIKoZIzj0EAwIDSAAwRQIgNjLAcXgRG4757I6gdgIoaBXv
CTLKwSAzzJ3oe93toEwCIQDvAMt/vyfKoKfn77DBr39TesJLK87gAd4GLBJvFXFV
Nw==
-----END CERTIFICATE-----
"""
LIST = Script.whole(json.dumps({"data": [{"id": "draws/well"}]}).encode())


def server_side(folder: Path, identity: str) -> ssl.SSLContext:
    (folder / "identity.pem").write_text(identity)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "identity.pem")
    return context


async def test_a_certificate_nobody_vouches_for_gets_no_request(tmp_path: Path) -> None:
    async with scripted(LIST, tls=server_side(tmp_path, OF_THIS_MACHINE)) as there:
        address = Address(base_url=there.base_url, key=Secret(KEY))
        async with Http(address, PATIENCE) as http:
            with pytest.raises(Broken) as broken:
                async with http.get("/models"):
                    pass
        assert broken.value.how is Break.TLS
        assert there.requests == []


@pytest.mark.parametrize(("identity", "code"), [(OF_THIS_MACHINE, 0), (OF_ELSEWHERE, 69)])
def test_ssl_cert_file_names_whom_to_believe_and_still_the_name_has_to_be_right(
    desk: Desk, identity: str, code: int
) -> None:
    tls = server_side(desk.folder, identity)
    desk.environ(SSL_CERT_FILE=str(desk.folder / "identity.pem"), THERE_KEY=KEY)
    with in_a_thread(lambda: scripted(LIST, tls=tls)) as there:
        desk.provider(there.base_url, "api_key_env: THERE_KEY\n")
        ended = desk.run_apart("models", "--provider", "./there.yaml")
        assert ended.code == code
        assert ("draws/well" in ended.out) is (code == 0)
        assert bool(there.requests) is (code == 0)
