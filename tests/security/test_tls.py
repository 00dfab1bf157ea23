"""A key travels to whom it is meant for, or stays: certificates are looked at, always."""

from __future__ import annotations

import base64
import json
import random
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from beside import in_a_thread
from identity import OF_THIS_MACHINE, server_side
from scripted import Script, scripted

from pipeline.core.model import Secret
from pipeline.core.ports import Break, Broken
from pipeline.provider.http import Address, Http, Patience

if TYPE_CHECKING:
    from pathlib import Path

    from commands import Desk

PATIENCE = Patience(connect_s=5, idle_s=5, total_s=10, most_body_bytes=10_000)
KEY = "sk-tls-0123456789abcdef"

# Made for these tests alone, as the other.
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


def picture(n_bytes: int) -> bytes:
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)),
        (b"IDAT", random.Random(n_bytes).randbytes(n_bytes)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I4s", len(content), kind)
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def test_images_of_many_pieces_come_through_encryption_as_they_are(desk: Desk) -> None:
    made = picture(3_000_000)
    body = json.dumps({"data": [{"b64_json": base64.b64encode(made).decode()}]}).encode()
    chunked = Script.chunked(*(body[at : at + 50_001] for at in range(0, len(body), 50_001)))
    closing = Script.whole(body, connection="close").close()
    desk.environ(SSL_CERT_FILE=str(desk.folder / "identity.pem"), THERE_KEY=KEY)
    tls = server_side(desk.folder, OF_THIS_MACHINE)
    with in_a_thread(
        lambda: scripted(chunked, closing, chunked, closing, Script.whole(body), tls=tls)
    ) as there:
        desk.job(["one", "two", "three", "four"], base_url=there.base_url)
        desk.provider(there.base_url, "api_key_env: THERE_KEY\ndialect: images\n")
        assert desk.run_apart("run", "job.yaml").code == 0
        assert sum(one.method == "POST" for one in there.requests) == 4
    kept = [(desk.out / one["images"][0]["file"]).read_bytes() for one in desk.lines]
    assert kept == [made] * 4
