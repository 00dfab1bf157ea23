"""What an image costs: CPU, images a second and memory, ours beside what people use, and the limit.

    python benchmarks/cost.py --write                          # all of it, into README.md: hours
    python benchmarks/cost.py --sizes 1500000 --ways plain     # two minutes

A server of ready bytes (`ready_server.py`) in a process of its own; each client is a process of its
own, measured from its start to its exit by what the kernel says of it (`wait4`). `imagebatch` is
the whole command: it checks, hashes, keeps a journal and a manifest, and with `power` syncs. The
others (`clients.py`) decode and write. `C` (`limit.c`) receives, decodes and writes, and knows
nothing else. Clients take turns, round after round; medians are told. The peers are put into
environments of their own (`peers.txt`); what cannot be had is left out, and that is said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from report import ROOT, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
PLACES = HERE / ".peers"
WAYS = ("plain", "stream", "tls")
IMAGES = {1_000: 6_000, 10_000: 3_000, 150_000: 2_000, 1_500_000: 2_000, 8_000_000: 256}
"""How many of each size: enough for the start of a process to weigh little."""
OURS = ("imagebatch, power", "imagebatch, process")
PEERS = {
    "openai": "peers",
    "litellm": "peers-litellm",
    "aiohttp": "peers",
    "requests": "peers",
}
LINE_BY_LINE = {1_000: 500, 10_000: 200, 150_000: 64, 1_500_000: 8, 8_000_000: 0}
"""The guide's streaming example takes seconds for one large image."""
AT_HOME = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # it would ask the network at each start
MANY = 256
MOST_MB_OF_THE_OTHERS = 100  # in flight at once: 256 x 8 MB would take them 3 to 7 GB


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    n_bytes: int
    at_once: int
    way: str

    n_asked: int | None = None

    @property
    def n_images(self) -> int:
        return (
            self.n_asked
            or IMAGES.get(self.n_bytes)
            or max(2 * self.at_once, int(1.5e9 / self.n_bytes))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one run of a client took."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    n_images: int

    @property
    def cpu_per_1000(self) -> float:
        return self.cpu_s * 1000 / self.n_images


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """Where the server is."""

    port: int
    scheme: str
    environ: dict[str, str]

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"


def main() -> None:
    asked = arguments()
    pairs = [(size, asked.at_once) for size in asked.sizes]
    if asked.at_once != MANY and 8_000_000 in asked.sizes:
        pairs.append((8_000_000, MANY))
    tables = []
    for size, at_once in pairs:
        for way in asked.ways:
            case = Case(n_bytes=size, at_once=at_once, way=way, n_asked=asked.images)
            tables.append(measure(case, asked.rounds, asked.clients))
            print(f"\n{tables[-1]}", flush=True)
    if asked.write:
        put("cost", versions(), *tables)


def arguments() -> argparse.Namespace:
    words = argparse.ArgumentParser(description="What an image costs.")
    words.add_argument("--sizes", type=int, nargs="+", default=list(IMAGES))
    words.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    words.add_argument("--at-once", type=int, default=64)
    words.add_argument("--images", type=int, help="fewer than usual: to see that it works")
    words.add_argument("--write", action="store_true", help="put the tables into README.md")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--clients", nargs="+", default=["C", *OURS, *PEERS])
    return words.parse_args()


def measure(case: Case, n_rounds: int, clients: list[str]) -> str:
    commands = {name: command for name in clients if (command := command_of(name, case))}
    taken: dict[str, list[Taken]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory(prefix="cost-") as place:
        folder = Path(place)
        with served(case, folder) as there:
            for _ in range(n_rounds):
                for name, command in commands.items():
                    taken[name].append(run(command, case, there, folder))
    return told(case, taken)


def told(case: Case, taken: dict[str, list[Taken]]) -> str:
    base = {name: middle(taken[name], "cpu_per_1000") for name in ("C", "openai") if name in taken}
    rows = [
        f"{case.n_bytes / 1e6:g} MB, {case.at_once} at once, {case.way}\n",
        "| client | CPU s per 1,000 | of C | of openai | images per CPU s | images/s | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, runs in taken.items():
        cpu = middle(runs, "cpu_per_1000")
        ratios = [f"{cpu / base[one]:.2f}" if one in base else "" for one in ("C", "openai")]
        per_s = statistics.median(one.n_images / one.wall_s for one in runs)
        peak_mb = middle(runs, "peak_mb")
        cells = (name, f"{cpu:.2f}", *ratios, f"{1000 / cpu:.0f}", f"{per_s:.0f}", f"{peak_mb:.0f}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def middle(runs: list[Taken], what: str) -> float:
    return statistics.median(getattr(one, what) for one in runs)


# The clients.


def command_of(name: str, case: Case) -> Callable[[There, Path], tuple[list[str], int]] | None:
    """What starts a client and how many images it asks for; None where it is left out."""
    if name == "C":
        return limit_of(case)
    if name in OURS:
        return lambda there, out: (ours(name.split(", ")[1], case, there, out), case.n_images)
    python = python_of(PEERS[name])
    if python is None or case.at_once * case.n_bytes > MOST_MB_OF_THE_OTHERS * 10e6:
        return None
    n = case.n_images
    if name == "requests" and case.way == "stream":
        n = min(LINE_BY_LINE.get(case.n_bytes, 0), case.n_images)
    script = [str(HERE / "clients.py"), name]
    more = ["--stream"] if case.way == "stream" else []
    return n and (
        lambda there, out: (
            [python, *script, there.base_url, str(n), str(case.at_once), str(out), *more],
            n,
        )
    )


def limit_of(case: Case) -> Callable[[There, Path], tuple[list[str], int]] | None:
    program = compiled(is_tls=case.way == "tls")
    if program is None:
        return None
    n, way = case.n_images, case.way
    return lambda there, out: (
        [program, str(there.port), str(n), str(case.at_once), str(out), way],
        n,
    )


def ours(durability: str, case: Case, there: There, out: Path) -> list[str]:
    is_streamed = str(case.way == "stream").lower()
    (out / "p.yaml").write_text(f"base_url: {there.base_url}\nmodel: m\nstream: {is_streamed}\n")
    prompts = "".join(f"  - prompt {number}\n" for number in range(case.n_images))
    (out / "job.yaml").write_text(
        f"provider: ./p.yaml\nlimits: {{concurrency: {case.at_once}}}\n"
        f"output: {{dir: {out}/out, durability: {durability}}}\nprompts:\n{prompts}"
    )
    return [sys.executable, "-m", "pipeline", "run", "-q", str(out / "job.yaml")]


@cache
def compiled(*, is_tls: bool) -> str | None:
    """The C program; None, loudly, where it cannot be made."""
    cc = shutil.which("cc")
    program = Path(tempfile.mkdtemp(prefix="limit-")) / "limit"
    more = ["-DTLS", "-lssl", "-lcrypto"] if is_tls else []
    command = [cc or "cc", "-O3", "-o", str(program), str(HERE / "limit.c"), *more]
    if not cc or subprocess.run(command, check=False).returncode:
        what = "the C limit over TLS (OpenSSL's headers)" if is_tls else "the C limit (a compiler)"
        print(f"LEFT OUT: {what} cannot be had here", file=sys.stderr)
        return None
    return str(program)


@cache
def python_of(name: str) -> str | None:
    """The interpreter of the environment that ``NAME.txt`` asks for; None where it cannot be."""
    python = PLACES / name / "bin" / "python"
    if not python.exists():
        print(f"installing {name}.txt into {PLACES / name}", file=sys.stderr)
        made = subprocess.run([sys.executable, "-m", "venv", PLACES / name], check=False)
        pip = [str(python), "-m", "pip", "install", "-q", "-r", str(HERE / f"{name}.txt")]
        if made.returncode or subprocess.run(pip, check=False).returncode:
            shutil.rmtree(PLACES / name, ignore_errors=True)
            print(f"LEFT OUT: what {name}.txt asks for cannot be installed", file=sys.stderr)
            return None
    return str(python)


def versions() -> str:
    """What the peers are; empty where there are none."""
    look = "import importlib.metadata as m; print(*(n + ' ' + m.version(n) for n in {names}))"
    names = {"peers": ["openai", "requests"], "peers-litellm": ["litellm"]}
    pythons = {name: python for name in names if (python := python_of(name))}
    said = [
        subprocess.run(
            [python, "-c", look.format(names=names[name])],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for name, python in pythons.items()
    ]
    return f"Beside it: {', '.join(said)}."


def run(
    command: Callable[[There, Path], tuple[list[str], int]], case: Case, there: There, folder: Path
) -> Taken:
    out = Path(tempfile.mkdtemp(dir=folder))
    words, n = command(there, out)
    os.sync()
    start = time.monotonic()
    process = subprocess.Popen(words, env=os.environ | AT_HOME | there.environ, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - start
    n_made = emptied(out, case.n_bytes)
    if process.returncode or n_made != n:
        raise SystemExit(f"{words} made {n_made} of {n} and ended with {process.returncode}")
    return Taken(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=wall_s,
        peak_mb=usage.ru_maxrss / 1024,
        n_images=n,
    )


def emptied(out: Path, n_bytes: int) -> int:
    """How many whole images lie there; they are emptied, and removed at the very end.

    Names that have just been removed make ext4 search long for new ones, at the next one's expense.
    """
    images = [png for png in out.rglob("*.png") if png.stat().st_size > 0.9 * n_bytes]
    for png in images:
        os.truncate(png, 0)
    return len(images)


# The server.


@contextmanager
def served(case: Case, folder: Path) -> Iterator[There]:
    identity = identity_in(folder) if case.way == "tls" else []
    environ = {"SSL_CERT_FILE": identity[0], "REQUESTS_CA_BUNDLE": identity[0]} if identity else {}
    server = subprocess.Popen(
        [sys.executable, str(HERE / "ready_server.py"), str(case.n_bytes), *identity],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    scheme = "https" if identity else "http"
    start = time.monotonic()
    yield There(port=int(server.stdout.readline()), scheme=scheme, environ=environ)
    took_s = time.monotonic() - start
    server.stdin.close()
    cpu_s = float(server.stdout.readline())
    server.wait()
    print(f"server: {cpu_s:.1f} CPU s within {took_s:.1f} s", file=sys.stderr)


def identity_in(folder: Path) -> list[str]:
    """A certificate of its own for 127.0.0.1, and its key."""
    certificate, key = str(folder / "identity.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
               "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]  # fmt: skip
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return [certificate, key]


if __name__ == "__main__":
    main()
