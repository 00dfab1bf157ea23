"""A command that prints the key: run once, without a shell, and never quoted."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import NotAllowed
from pipeline.job import command
from pipeline.job.keys import Keyhole, key_of
from pipeline.job.load import load_profile

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.model import Secret
    from pipeline.job.job import Chosen

PRINTED = "sk-made-up-9a8e77654f1d0c2b"


def chosen(folder: Path, script: str, *, address: str = "https://x.test") -> Chosen:
    """A profile whose command runs ``script`` with Python."""
    words = shlex.join([sys.executable, "-S", "-c", script])
    file = folder / "p.yaml"
    file.write_text(
        f"base_url: {address}\nallow_http: true\napi_key_command: {json.dumps(words)}\n"
    )
    return load_profile(str(file))


def found(folder: Path, script: str) -> Secret | None:
    return key_of(chosen(folder, script), os.environ)


def refusal(folder: Path, script: str) -> str:
    with pytest.raises(NotAllowed) as caught:
        found(folder, script)
    assert caught.value.exit_code == 77
    assert PRINTED not in str(caught.value)
    assert sys.executable in str(caught.value)
    return str(caught.value)


def test_the_first_line_is_the_key_whatever_follows(tmp_path: Path) -> None:
    for rest in ("", "\\n", "\\r\\nuser: me\\n", "\\n" + "x" * 100_000):
        key = found(tmp_path, f"print('  {PRINTED} {rest}', end='')")
        assert key is not None
        assert key.reveal() == PRINTED


def test_words_may_be_listed_and_the_program_lie_beside_the_profile(tmp_path: Path) -> None:
    program = tmp_path / "key.sh"
    program.write_text(f'#!/bin/sh\necho "{PRINTED}$1"\n')
    program.chmod(0o700)
    (tmp_path / "p.yaml").write_text("base_url: https://x.test\napi_key_command: [./key.sh, -v]\n")
    key = key_of(load_profile(str(tmp_path / "p.yaml")), {"PATH": os.environ["PATH"]})
    assert key is not None
    assert key.reveal() == PRINTED + "-v"


def test_no_shell_reads_the_words(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "base_url: https://x.test\napi_key_command: echo $HOME;touch${IFS}here `id` > there\n"
    )
    with pytest.raises(NotAllowed, match="cannot be one"):
        key_of(load_profile(str(tmp_path / "p.yaml")), os.environ)
    assert [path.name for path in tmp_path.iterdir()] == ["p.yaml"]


def test_it_is_given_the_environment_and_no_input_and_no_terminal(tmp_path: Path) -> None:
    script = "import os, sys; print('K' + os.environ['MINE'] + repr(sys.stdin.read()), 'x')"
    with pytest.raises(NotAllowed) as caught:
        key_of(chosen(tmp_path, script), os.environ | {"MINE": "abc"})
    assert "its character 7 is" in str(caught.value)  # Kabc'' and a space
    said = command.said_by(
        [sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid())"],
        folder=tmp_path,
        environ=os.environ,
    )
    assert (said.out, said.problem) == ("True\n", None)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (f"print('{PRINTED}'); raise SystemExit(3)", "it ended with exit code 3"),
        ("", "printed nothing in its first line"),
        (f"print(); print('{PRINTED}')", "printed nothing in its first line"),
        ("import os; os.kill(os.getpid(), 9)", "it was ended by signal 9"),
        (f"print('{PRINTED} x')", "a space, a line break, a control character or not ASCII"),
        (f"print('{PRINTED}\\x1b[0m')", "its character 28"),
        (f"print('{PRINTED}ä')", "its character 28"),
        (f"import sys; sys.stdout.buffer.write(b'{PRINTED}\\xff')", "its character 28"),
    ],
)
def test_without_a_sound_key_it_is_77_and_names_the_program(
    tmp_path: Path, script: str, says: str
) -> None:
    told = refusal(tmp_path, script)
    assert says in told
    assert "api_key_command" in told
    assert "p.yaml" in told


def test_what_it_complains_of_is_passed_on_without_the_key_and_without_escapes(
    tmp_path: Path,
) -> None:
    script = f"import sys; print('{PRINTED}'); sys.exit('\\x1b[31mlocked: {PRINTED}: unlock it')"
    told = refusal(tmp_path, script)
    assert "locked: ***: unlock it" in told
    assert "\x1b" not in told


def test_a_program_that_is_not_there_is_77(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "base_url: https://x.test\napi_key_command: no-such-program a\n"
    )
    with pytest.raises(NotAllowed, match=r"cannot be run \(No such file.*run `no-such-program`"):
        key_of(load_profile(str(tmp_path / "p.yaml")), os.environ)


@pytest.mark.parametrize(
    "script",
    [
        "import time; time.sleep(600)",
        "import sys\nwhile True: sys.stdout.write('x' * 65536)",
        "import os, sys, time; os.close(1); os.close(2); time.sleep(600)",
    ],
)
def test_who_takes_too_long_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(command, "PATIENCE_S", 0.7)
    began = time.monotonic()
    assert "it took more than" in refusal(tmp_path, script)
    assert time.monotonic() - began < 10


def test_what_it_left_running_is_ended_and_its_key_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PATIENCE_S", 0.7)
    left = "import time; time.sleep(1.2); open('alive', 'w')"
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {left!r}])"
    key = found(tmp_path, f"{script}; print('{PRINTED}')")
    assert key is not None
    time.sleep(0.8)
    assert not (tmp_path / "alive").exists()


def test_where_no_key_may_travel_no_command_is_run(tmp_path: Path) -> None:
    script = "open('ran', 'w')"
    assert key_of(chosen(tmp_path, script, address="http://192.168.1.7"), os.environ) is None
    assert key_of(chosen(tmp_path, script), os.environ, may_run=False) is None
    assert not (tmp_path / "ran").exists()


def test_a_run_asks_once_and_only_when_it_needs_to(tmp_path: Path) -> None:
    script = f"open('runs', 'a').write('x'); print('{PRINTED}')"
    keyhole = Keyhole([chosen(tmp_path, script)], os.environ)
    assert not (tmp_path / "runs").exists()
    assert keyhole.look() is keyhole.look()
    assert (tmp_path / "runs").read_text() == "x"
