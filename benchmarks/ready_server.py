"""Answers every chat request with the same ready bytes: an image as base64 in JSON, or streamed.

    python ready_server.py N_BYTES [CERTIFICATE KEY]

Prints its port, serves until its standard input ends, then prints the CPU seconds it took. A
thread for each connection, and nothing done for a request but to look for `"stream"` in it: what
is sent is made once, before the first connection. Streamed replies are chunked, 32 KiB a chunk.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time
import zlib

IDAT_BYTES = 8192  # as libpng writes them
CHUNK_BYTES = 32 * 1024
MODELS = b'{"data":[{"id":"m","architecture":{"output_modalities":["image","text"]}}]}'


def png_of(n_bytes: int) -> bytes:
    """A PNG of random bytes: sound chunks, noise where its pixels would be."""
    header = struct.pack(">IIBBBBB", 1024, 1024, 8, 2, 0, 0, 0)
    noise = os.urandom(max(n_bytes * IDAT_BYTES // (IDAT_BYTES + 12) - 57, 1))
    pixels = (noise[at : at + IDAT_BYTES] for at in range(0, len(noise), IDAT_BYTES))
    chunks = [chunk(b"IHDR", header), *(chunk(b"IDAT", one) for one in pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", checksum)


def reply_of(png: bytes) -> bytes:
    """A whole reply, its head included, in the shape of the chat dialect."""
    message = {"role": "assistant", "content": "Here it is.", "images": images_of(png)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return framed(json.dumps(enveloped("chat.completion", choice)).encode())


def framed(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def stream_of(png: bytes) -> bytes:
    """The same, as server-sent events in chunks."""
    said = {"role": "assistant", "content": "Here it is."}
    deltas = (said, {"images": images_of(png)}, {})
    choices = ({"index": 0, "delta": d, "finish_reason": None if d else "stop"} for d in deltas)
    events = [json.dumps(enveloped("chat.completion.chunk", choice)) for choice in choices]
    text = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()
    pieces = (text[at : at + CHUNK_BYTES] for at in range(0, len(text), CHUNK_BYTES))
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    return head + b"\r\n" + chunked


def images_of(png: bytes) -> list[dict[str, object]]:
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    return [{"type": "image_url", "image_url": {"url": url}}]


def enveloped(kind: str, choice: dict[str, object]) -> dict[str, object]:
    tokens = {"prompt_tokens": 10, "completion_tokens": 1290, "total_tokens": 1300}
    envelope = {"id": "gen-1", "object": kind, "created": 1, "model": "m", "choices": [choice]}
    return envelope | {"usage": {**tokens, "cost": 0.039}}


class Server:
    """Listens on a free loopback port."""

    def __init__(self, png: bytes, tls: ssl.SSLContext | None) -> None:
        self.plain, self.stream = memoryview(reply_of(png)), memoryview(stream_of(png))
        self.models = framed(MODELS)
        self.tls = tls
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                while request := request_of(connection):
                    connection.sendall(self.answer_to(request))
        except OSError:  # it left
            pass

    def answer_to(self, request: bytes) -> bytes | memoryview:
        if request.startswith(b"GET"):
            return self.models
        is_streamed = b'"stream":true' in request.replace(b" ", b"")
        return self.stream if is_streamed else self.plain


def request_of(connection: socket.socket) -> bytes:
    """A whole request, empty where the other side left."""
    request = b""
    while (end := request.find(b"\r\n\r\n")) < 0:
        if not (piece := connection.recv(65536)):
            return b""
        request += piece
    head = request[:end].lower()
    _, is_long, rest = head.partition(b"content-length:")
    length = int(rest.split(b"\r\n", 1)[0]) if is_long else 0
    while len(request) < end + 4 + length:
        request += connection.recv(65536)
    return request


def main() -> None:
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*sys.argv[2:4])
    server = Server(png_of(int(sys.argv[1])), tls)
    threading.Thread(target=server.serve, daemon=True).start()
    print(server.listener.getsockname()[1], flush=True)
    sys.stdin.read()
    print(f"{time.process_time():.3f}", flush=True)


if __name__ == "__main__":
    main()
