"""Bad jobs, prompt files, profiles and command lines, each with what a person is told of it.

``{url}`` in a file is the address of a provider that nothing here may reach, ``{root}`` in what is
told the folder that is watched. Unless a case is about providers, that provider is asked.
"""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

GOOD = "prompts: [a red fox]\n"
THERE = {"IMAGEBATCH_PROVIDER": "./there.yaml"}
NO_FAULT = "p.yaml:1:22: simulator.rules.0.fault: there is no fault 'x'; there are server_error, "
HEADER = "p.yaml:3:1: idempotency_header: "
KNOWN = (
    "known here are name, provider, model, prompts, template, matrix, samples, "
    "references, aspect_ratio, image_size, seed, params, keep, output, limits, retry, "
    "timeouts, budget, stop"
)
KNOWN_OF_PROFILES = (
    "known here are base_url, dialect, server, api_key_env, api_key_file, "
    "api_key_command, model, stream, headers, params, limits, prices, max_body, "
    "remote_images, svg, hedge, idempotency_header, allow_http, simulator"
)
PROVIDER = "base_url: '{url}'\nmodel: m\n"


_COMMANDS = frozenset({"run", "plan", "rerun", "status", "verify", "simulate"})


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link in place of a file."""

    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """One way to get it wrong.

    ``told`` is every line on stderr but the last, which counts the faults; of wrong usage it is
    the first; of what ``begins`` so, the beginning. ``words`` stand behind ``run job.yaml``, or are
    the whole command where they begin with one.
    """

    name: str
    told: str
    code: int = 65
    files: Mapping[str, str | bytes | Link] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: THERE)
    stdin: str = ""
    begins: bool = False

    def __str__(self) -> str:
        return self.name if len(self.name) <= 50 else f"{self.name[:49]}~"

    @property
    def command(self) -> tuple[str, ...]:
        """All the words."""
        is_whole = self.words[0] in _COMMANDS if self.words else False
        return self.words if is_whole else ("run", "job.yaml", *self.words)

    @property
    def is_faulty(self) -> bool:
        """Whether it is a file that is wrong: then the faults are counted."""
        return self.code in {65, 78}


def job(text: str | bytes, told: str, **more: Any) -> Bad:
    """A job that is wrong."""
    return Bad(name=f"job {text[-60:]!r}", told=told, **{"files": {"job.yaml": text}} | more)


def beside(files: Mapping[str, str | bytes | Link], text: str, told: str, **more: Any) -> Bad:
    """A job that does not fit what lies beside it."""
    return job(text, told, files={"job.yaml": text, **files}, **more)


def path(text: str, told: str) -> Bad:
    """A path that leads nowhere an image may be."""
    return job(f"{GOOD}output:\n  path: {json.dumps(text)}\n", told)


def prompts(name: str, content: str | bytes | Link, told: str, *, more: str = "") -> Bad:
    """A prompt file that is wrong; ``more`` stands beside its name in the job."""
    files = {"job.yaml": f"prompts: {{file: {name}{more}}}\n", name: content}
    shown = content[-50:] if isinstance(content, str | bytes) else content
    return Bad(name=f"{name}{more} {shown!r}", told=told, files=files)


def profile(text: str | bytes, told: str, *, more: str = "", **how: Any) -> Bad:
    """A profile that is wrong; ``more`` stands in the job."""
    files = {"job.yaml": f"{GOOD}provider: ./p.yaml\n{more}", "p.yaml": text}
    name = f"profile {text[-60:]!r}"
    return Bad(name=name, told=told, files=files, environ={}, **{"code": 78, **how})


def inline(text: str, told: str, *, code: int = 78) -> Bad:
    """What a job says of its provider is wrong."""
    return job(f"{GOOD}provider: {text}\n", told, code=code, environ={})


def words(*given: str, told: str, code: int = 2, **more: Any) -> Bad:
    """A command that is wrong, beside a job that is not."""
    files = {"job.yaml": GOOD} | more.pop("files", {})
    return Bad(name=" ".join(given), told=told, code=code, files=files, words=given, **more)


def flow(depth: int) -> str:
    """Lists in lists."""
    return f"prompts: {'[' * depth}{']' * depth}\n"


def bomb(levels: int) -> str:
    """A list of nine lists of nine lists, written in a few lines."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"prompts: *a{levels - 1}", ""])


YAML = [
    job("", "job.yaml:1:1: the file is empty"),
    job("\n\n  \n", "job.yaml:1:1: the file is empty"),
    job("# nothing but a comment\n", "job.yaml:1:1: the file is empty"),
    job("---\n", "job.yaml:1:1: must be a mapping of settings, such as `prompts: [a red fox]`"),
    job(
        "a red fox\n", "job.yaml:1:1: must be a mapping of settings, such as `prompts: [a red fox]`"
    ),
    job(
        "- a red fox\n- a blue fox\n",
        "job.yaml:1:1: must be a mapping of settings, such as `prompts: [a red fox]`",
    ),
    job("42\n", "job.yaml:1:1: must be a mapping of settings, such as `prompts: [a red fox]`"),
    job(
        "prompts:[a]\n",
        "job.yaml:1:1: must be a mapping of settings, such as `prompts: [a red fox]`; a space follows the `:` of a key",
    ),
    job(GOOD + "---\n" + GOOD, "job.yaml:2:1: a second document begins: one file holds one"),
    job(
        "prompts:\n\t- a\n", "job.yaml:2:1: not YAML: a line is indented with spaces, not with tabs"
    ),
    job(
        "prompts: [a\n",
        "job.yaml:1:10: not YAML: this `[` is never closed, or a comma is missing behind it",
    ),
    job("prompts: 'a\n", "job.yaml:1:10: not YAML: this quote is never closed"),
    job('prompts: ["a]\n', "job.yaml:1:11: not YAML: this quote is never closed"),
    job(
        "prompts: {file: p.txt\n",
        "job.yaml:1:10: not YAML: this `{` is never closed, or text in it that holds `{`, `,` or `: ` lacks its quotes",
    ),
    job(
        "prompts:\n  - a\n - b\n",
        "job.yaml:3:2: not YAML: this line stands out of line with those above it: indent it as they are, or put text that holds quotes or brackets into quotes",
    ),
    job(
        "prompts:\n- a: b: c\n",
        "job.yaml:2:7: not YAML: a second `: ` in one line: put the text that holds it into quotes",
    ),
    job(
        "prompts: [a]]\n",
        "job.yaml:1:13: not YAML: this line stands out of line with those above it: indent it as they are, or put text that holds quotes or brackets into quotes",
    ),
    job(GOOD + "name: @home\n", "job.yaml:2:7: not YAML: text that begins with `@` goes in quotes"),
    job(GOOD + "name: `x`\n", "job.yaml:2:7: not YAML: text that begins with ``` goes in quotes"),
    job(GOOD + "name: %x\n", "job.yaml:2:7: not YAML: text that begins with `%` goes in quotes"),
    job(
        "%YAML 3.0\n---\nprompts: [a]\n", "job.yaml:1:1: not YAML: found incompatible YAML document"
    ),
    job(
        "%FOO\n\tprompts: [a]\n",
        "job.yaml:1:5: not YAML: while scanning a directive found unknown directive name",
    ),
    job(
        GOOD + "template: {{prompt}}\n",
        "job.yaml:2:12: a key is plain text; text that begins with `{` or `[` goes in quotes",
    ),
    job(
        GOOD + "? [a, b]\n: c\n",
        "job.yaml:2:3: a key is plain text; text that begins with `{` or `[` goes in quotes",
    ),
    job(
        GOOD + "{a: b}: c\n",
        "job.yaml:2:1: a key is plain text; text that begins with `{` or `[` goes in quotes",
    ),
    job(
        GOOD + ": x\n",
        "job.yaml:2:1: not YAML: this line stands out of line with those above it: indent it as they are, or put text that holds quotes or brackets into quotes",
    ),
    job(
        GOOD + "7: x\n",
        "job.yaml:2:1: 7: unknown key: " + KNOWN,
    ),
    job(
        GOOD + "'': x\n",
        "job.yaml:2:1: unknown key: " + KNOWN,
    ),
    job(
        "prompts: !!python/object/apply:os.system ['touch /tmp/x']\n",
        "job.yaml:1:10: the tag `!!python/object/apply:os.system` is not read: remove it",
    ),
    job("prompts: [!env HOME]\n", "job.yaml:1:11: the tag `!env` is not read: remove it"),
    job("prompts: [a]\nname: !!str x\n", "job.yaml:2:7: the tag `!!str` is not read: remove it"),
    job(
        "prompts: [a]\nname: !!binary aGk=\n",
        "job.yaml:2:7: the tag `!!binary` is not read: remove it",
    ),
    job("!!map {prompts: [a]}\n", "job.yaml:1:1: the tag `!!map` is not read: remove it"),
    job("prompts: [a]\n!x name: b\n", "job.yaml:2:1: the tag `!x` is not read: remove it"),
    job(
        "prompts: *nowhere\n",
        "job.yaml:1:10: `*nowhere` stands for nothing that is complete above it",
    ),
    job("prompts: &a [*a]\n", "job.yaml:1:14: `*a` stands for nothing that is complete above it"),
    job(
        "base: &b {samples: 2}\n<<: *b\n" + GOOD,
        "job.yaml:2:1: `<<` is not read: write the keys out",
    ),
    job(bomb(9), "job.yaml:6:10: aliases repeat more than 100,000 values: write them out"),
    job(bomb(60), "job.yaml:6:10: aliases repeat more than 100,000 values: write them out"),
    job(
        f"prompts: &p [{'x, ' * 1000}x]\nz: [{'*p, ' * 200}*p]\n",
        "job.yaml:2:401: aliases repeat more than 100,000 values: write them out",
    ),
    job(flow(64), "job.yaml:1:73: nested more than 64 levels deep"),
    job(flow(65), "job.yaml:1:73: nested more than 64 levels deep"),
    job(flow(100_000), "job.yaml:1:73: nested more than 64 levels deep"),
    job("prompts:\n" + "- " * 70 + "a\n", "job.yaml:2:127: nested more than 64 levels deep"),
    job("prompts: " + "{a: " * 50_000 + "1\n", "job.yaml:1:262: nested more than 64 levels deep"),
    job(
        "".join(f"{' ' * n}a:\n" for n in range(70)),
        "job.yaml:65:65: nested more than 64 levels deep",
    ),
    job(
        GOOD + "#" * 1024**2,
        "job.yaml: larger than 1,048,576 bytes: keep long lists in their own file",
    ),
    job(GOOD + GOOD, "job.yaml:2:1: prompts: is given twice, first in line 1: keep one"),
    job(
        "name: a\nname: b\nname: c\n" + GOOD,
        "job.yaml:2:1: name: is given twice, first in line 1: keep one\njob.yaml:3:1: name: is given twice, first in line 1: keep one",
    ),
    job(
        "prompts: [{prompt: a, id: x, id: y}]\n",
        "job.yaml:1:30: prompts.0.id: is given twice, first in line 1: keep one",
    ),
    job(
        GOOD + "retry:\n  attempts: 2\n  attempts: 3\n",
        "job.yaml:4:3: retry.attempts: is given twice, first in line 3: keep one",
    ),
    job(
        GOOD + "matrix: {style: [a], style: [b]}\n",
        "job.yaml:2:22: matrix.style: is given twice, first in line 2: keep one",
    ),
    job(
        GOOD + 'params: {"a": 1, a: 2}\n',
        "job.yaml:2:18: params.a: is given twice, first in line 2: keep one",
    ),
]

ENCODINGS = [
    job("prompts: [Zürich]\n".encode("latin-1"), "job.yaml:1: not UTF-8: save the file as UTF-8"),
    job(GOOD.encode("utf-16"), "job.yaml:1: is UTF-16: save the file as UTF-8"),
    job(GOOD.encode("utf-16-be"), "job.yaml:1: is UTF-16: save the file as UTF-8"),
    job(
        codecs.BOM_UTF32_LE + GOOD.encode("utf-32-le"),
        "job.yaml:1: is UTF-16: save the file as UTF-8",
    ),
    job(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "job.yaml:1: not UTF-8: save the file as UTF-8"),
    job(b"\x1f\x8b\x08\x00prompts", "job.yaml:1: not UTF-8: save the file as UTF-8"),
    job(b"prompts: [a]\nname: \xc0\xaf\n", "job.yaml:2: not UTF-8: save the file as UTF-8"),
    job(b"prompts: [a]\nname: \xed\xa0\x80\n", "job.yaml:2: not UTF-8: save the file as UTF-8"),
    job(b"prompts: [a]\nname: \xf5\x80\x80\x80\n", "job.yaml:2: not UTF-8: save the file as UTF-8"),
    job(b"prompts: [a\xe2\x82]\n", "job.yaml:1: not UTF-8: save the file as UTF-8"),
    job(b"prompts: [a\x00b]\n", "job.yaml:1: holds the control character '\\x00': remove it"),
    job(b"prompts:\n- \x1b[31mred\n", "job.yaml:2: holds the control character '\\x1b': remove it"),
    job(
        b"prompts: [a]\nname: x\x7f\n", "job.yaml:2: holds the control character '\\x7f': remove it"
    ),
    job(
        "prompts: [a]\nname: x\u009b\n",
        "job.yaml:2: holds the control character '\\x9b': remove it",
    ),
    job(
        "prompts: [a]\nname: x\ufdd0\n",
        "job.yaml:2: holds the control character '\\ufdd0': remove it",
    ),
    job(
        'prompts: ["\\ud800"]\n',
        "job.yaml:1:11: not YAML: while parsing a quoted scalar found invalid Unicode character escape code",
    ),
    job(
        'prompts: [a]\nname: "a\\0b"\n',
        'job.yaml:2:1: name: must be one part of a path that is safe everywhere, not "a\\u0000b": no `/`, no control character, no dot in front, at most 200 bytes',
    ),
    job(
        'prompts: [a]\n"\\e[31msamples": 3\n',
        "job.yaml:2:1: \\x1b[31msamples: unknown key (did you mean `samples`?)",
    ),
    job(
        'prompts: [a]\n"\\u202esamples": 3\n',
        "job.yaml:2:1: \\u202esamples: unknown key (did you mean `samples`?)",
    ),
    job(
        'prompts: [a]\nkeep: "\\e]0;pwned\\a"\n',
        'job.yaml:2:1: keep: must be all or first or last, not "\\u001b]0;pwned\\u0007"',
    ),
    job(
        'prompts: [a]\nmodel: "\\u009b31m"\n',
        "job.yaml:2:1: model: holds the control character '\\x9b': remove it",
    ),
    job(
        'prompts: [a]\nmodel: "a\\nb"\n',
        "job.yaml:2:1: model: holds the control character '\\n': remove it",
    ),
    job(
        'prompts: [a]\nprovider: "k\\u200bnox"\n',
        "job.yaml:2:1: provider: unknown provider `k\\u200bnox` (did you mean `knox`?): shipped are knox, local, openai-images, openrouter, simulator; a profile of your own is named by its path, ./k\\u200bnox.yaml",
        code=78,
        environ={},
    ),
]

SURPRISES = [
    job(
        "prompts: [no]\n",
        "job.yaml:1:11: prompts.0: `no` is read in different ways: put it in quotes, or write false",
    ),
    job(
        "prompts: [Yes, OFF, n]\n",
        "job.yaml:1:11: prompts.0: `Yes` is read in different ways: put it in quotes, or write true\njob.yaml:1:16: prompts.1: `OFF` is read in different ways: put it in quotes, or write false",
    ),
    job("prompts: [true]\n", "job.yaml:1:11: prompts.0: must be text: put true in quotes"),
    job(
        "prompts: [null]\n",
        "job.yaml:1:11: prompts.0: must be text, or a mapping with a `prompt`, and is empty",
    ),
    job(
        "prompts: [~]\n",
        "job.yaml:1:11: prompts.0: must be text, or a mapping with a `prompt`, and is empty",
    ),
    job("prompts: [2026]\n", "job.yaml:1:11: prompts.0: must be text: put 2026 in quotes"),
    job(
        "prompts: [007]\n",
        "job.yaml:1:11: prompts.0: `007` is read in different ways: leave out the zeros in front, or quote it",
    ),
    job("prompts: [1e5]\n", "job.yaml:1:11: prompts.0: must be text: put 100000.0 in quotes"),
    job("prompts: [.inf]\n", "job.yaml:1:11: prompts.0: .inf is no number to count with"),
    job(
        "prompts: [a]\nname: on\n",
        "job.yaml:2:1: name: `on` is read in different ways: put it in quotes, or write true",
    ),
    job("prompts: [a]\nname: 1_000\n", "job.yaml:2:1: name: must be text: put 1000 in quotes"),
    job(
        "prompts: [a]\nsamples: 010\n",
        "job.yaml:2:1: samples: `010` is read in different ways: leave out the zeros in front, or quote it",
    ),
    job(
        "prompts: [a]\nsamples: 1e3\n", "job.yaml:2:1: samples: must be a whole number, not 1000.0"
    ),
    job(
        "prompts: [a]\nsamples: 1:30\n", 'job.yaml:2:1: samples: must be a whole number, not "1:30"'
    ),
    job(
        "prompts: [a]\nsamples: 2026-11-22\n",
        'job.yaml:2:1: samples: must be a whole number, not "2026-11-22"',
    ),
    job(
        "prompts: [a]\nseed: 99999999999999999999\n",
        "job.yaml:2:1: seed: 99999999999999999999 is too large a number; where text is meant, quote it",
    ),
    job(
        "prompts: [a]\nseed: 9223372036854775807\n",
        "job.yaml:2:1: seed: must be at most 9223372036854765807, not 9223372036854775807",
    ),
    job(
        "prompts: [a]\nseed: -9223372036854775809\n",
        "job.yaml:2:1: seed: -9223372036854775809 is too large a number; where text is meant, quote it",
    ),
    job(
        "prompts: [a]\nseed: " + "9" * 5000 + "\n",
        'job.yaml:2:1: seed: must be a whole number, not "99999999999999999999999999999999999999…',
    ),
    job(
        "prompts: [a]\nparams: {temperature: 1e400}\n",
        "job.yaml:2:10: params.temperature: 1e400 is too large a number; where text is meant, quote it",
    ),
    job(
        "prompts: [a]\nparams: {temperature: .NaN}\n",
        "job.yaml:2:10: params.temperature: .NaN is no number to count with",
    ),
    job(
        "prompts: [a]\nparams: {temperature: -.Inf}\n",
        "job.yaml:2:10: params.temperature: -.Inf is no number to count with",
    ),
    job(
        "prompts: [a]\nlimits: {adaptive: maybe}\n",
        'job.yaml:2:10: limits.adaptive: must be true or false, not "maybe"',
    ),
    job(
        "prompts: [a]\nlimits: {adaptive: 'yes'}\n",
        'job.yaml:2:10: limits.adaptive: must be true or false, not "yes"',
    ),
]

TYPES = [
    job("name: x\n", "job.yaml:1:1: prompts: is missing"),
    job(
        "prompts:\n",
        "job.yaml:1:1: prompts: must be a list of prompts, or a file such as {file: prompts.tsv}",
    ),
    job("prompts: []\n", "job.yaml:1:1: prompts: must not be empty"),
    job("prompts: {}\n", "job.yaml:1:1: prompts.file: is missing"),
    job(
        "prompts: a red fox\n",
        "job.yaml:1:1: prompts: must be a list of prompts, or a file such as {file: prompts.tsv}",
    ),
    job(
        "prompts: 3\n",
        "job.yaml:1:1: prompts: must be a list of prompts, or a file such as {file: prompts.tsv}",
    ),
    job(
        "prompts: p.txt\n",
        "job.yaml:1:1: prompts: must be a list of prompts, or a file such as {file: prompts.tsv}",
    ),
    job("prompts: ['']\n", "job.yaml:1:11: prompts.0: is blank"),
    job("prompts: [' \t ']\n", "job.yaml:1:11: prompts.0: is blank"),
    job(
        "prompts: [[a, b]]\n",
        'job.yaml:1:11: prompts.0: must be text, or a mapping with a `prompt`, not ["a", "b"]',
    ),
    job("prompts: [{}]\n", "job.yaml:1:11: prompts.0.prompt: is missing"),
    job(
        "prompts: [{promt: a}]\n",
        "job.yaml:1:11: prompts.0.prompt: is missing (did you write `promt` for it?)",
    ),
    job(
        "prompts: [{prompt: 3}]\n", "job.yaml:1:12: prompts.0.prompt: must be text: put 3 in quotes"
    ),
    job("prompts: [{prompt: [a]}]\n", 'job.yaml:1:12: prompts.0.prompt: must be text, not ["a"]'),
    job(
        "prompts: [{prompt: a, id: true}]\n",
        "job.yaml:1:23: prompts.0.id: must be text or a whole number, not true",
    ),
    job(
        "prompts: [{prompt: a, id: 1.5}]\n",
        "job.yaml:1:23: prompts.0.id: must be text or a whole number, not 1.5",
    ),
    job(
        "prompts: [{prompt: a, id: ' '}]\n",
        "job.yaml:1:23: prompts.0.id: is blank: leave it out, or give the row a name",
    ),
    job(
        "prompts: [{prompt: a, model: 3}]\n",
        "job.yaml:1:23: prompts.0.model: must be text: put 3 in quotes",
    ),
    job("prompts: [{prompt: a, model: ''}]\n", "job.yaml:1:23: prompts.0.model: is blank"),
    job(
        "prompts: [{prompt: a, aspect_ratio: wide}]\n",
        'job.yaml:1:23: prompts.0.aspect_ratio: must be width:height, such as "16:9", not "wide"',
    ),
    job(
        "prompts: [{prompt: a, image_size: [1, 2]}]\n",
        "job.yaml:1:23: prompts.0.image_size: must be text, not [1, 2]",
    ),
    job(
        "prompts: [{prompt: a, seed: 1.0}]\n",
        "job.yaml:1:23: prompts.0.seed: must be a whole number, not 1.0",
    ),
    job(
        "prompts: [{prompt: a, params: [x]}]\n",
        'job.yaml:1:23: prompts.0.params: must be a mapping of keys to values, not ["x"]',
    ),
    job(
        "prompts: [{prompt: a, params: {stream: true}}]\n",
        "job.yaml:1:23: prompts.0.params: `stream` holds for a whole job: set it in the job's `params`",
    ),
    job(
        "prompts: [{prompt: a, references: {x: y}}]\n",
        'job.yaml:1:23: prompts.0.references: must be a list, not {"x": "y"}',
    ),
    job(
        "prompts: [{prompt: a, keep: 1}]\n",
        "job.yaml:1:23: prompts.0.keep: must be all or first or last, not 1",
    ),
    job("prompts: {file: 3}\n", "job.yaml:1:11: prompts.file: must be text: put 3 in quotes"),
    job("prompts: {file: ''}\n", "job.yaml:1:11: prompts.file: is blank"),
    job("prompts: {file: [p.txt]}\n", 'job.yaml:1:11: prompts.file: must be text, not ["p.txt"]'),
    job(
        "prompts: {files: p.txt}\n",
        "job.yaml:1:1: prompts.file: is missing (did you write `files` for it?)\njob.yaml:1:11: prompts.files: unknown key (did you mean `file`?)",
    ),
    job(
        "prompts: {file: p.txt, limit: 0}\n",
        "job.yaml:1:24: prompts.limit: must be at least 1, not 0",
    ),
    job(
        "prompts: {file: p.txt, limit: true}\n",
        "job.yaml:1:24: prompts.limit: must be a whole number, not true",
    ),
    job(
        "prompts: {file: p.txt, limit: -3}\n",
        "job.yaml:1:24: prompts.limit: must be at least 1, not -3",
    ),
    job("prompts: {file: p.csv, column: ''}\n", "job.yaml:1:24: prompts.column: is blank"),
    job(
        "prompts: {file: p.csv, column: 1}\n",
        "job.yaml:1:24: prompts.column: must be text: put 1 in quotes",
    ),
    job(
        "prompts: {file: p.csv, id: false}\n",
        "job.yaml:1:24: prompts.id: must be text: put false in quotes",
    ),
    job(
        "prompts: {file: p.txt, column: text}\n",
        "job.yaml:1:24: prompts.column: a .txt file has no columns: every line is a prompt",
    ),
    job(
        "prompts: {file: p.txt, id: name}\n",
        "job.yaml:1:24: prompts.id: a .txt file has no columns: every line is a prompt",
    ),
    job(
        "prompts: {file: p.xlsx}\n",
        'job.yaml:1:11: prompts.file: must end in .txt, .csv, .tsv or .jsonl, or be "-", not "p.xlsx"',
    ),
    job(
        "prompts: {file: prompts}\n",
        'job.yaml:1:11: prompts.file: must end in .txt, .csv, .tsv or .jsonl, or be "-", not "prompts"',
    ),
    job(
        'prompts: {file: "a\\0b.txt"}\n',
        "job.yaml:1:11: prompts.file: holds the control character '\\x00': remove it",
    ),
    job(GOOD + "name:\n  - x\n", 'job.yaml:2:1: name: must be text, not ["x"]'),
    job(
        GOOD + "name: ''\n",
        'job.yaml:2:1: name: must be one part of a path that is safe everywhere, not "": no `/`, no control character, no dot in front, at most 200 bytes',
    ),
    job(
        GOOD + "name: a/b\n",
        'job.yaml:2:1: name: must be one part of a path that is safe everywhere, not "a/b": no `/`, no control character, no dot in front, at most 200 bytes',
    ),
    job(
        GOOD + "name: ..\n",
        'job.yaml:2:1: name: must be one part of a path that is safe everywhere, not "..": no `/`, no control character, no dot in front, at most 200 bytes',
    ),
    job(
        GOOD + "name: .hidden\n",
        'job.yaml:2:1: name: must be one part of a path that is safe everywhere, not ".hidden": no `/`, no control character, no dot in front, at most 200 bytes',
    ),
    job(
        GOOD + "name: CON\n",
        'job.yaml:2:1: name: must be one part of a path that is safe everywhere, not "CON": no `/`, no control character, no dot in front, at most 200 bytes',
    ),
    job(
        GOOD + "name: 'a '\n",
        'job.yaml:2:1: name: must be one part of a path that is safe everywhere, not "a ": no `/`, no control character, no dot in front, at most 200 bytes',
    ),
    job(
        GOOD + f"name: {'x' * 201}\n",
        'job.yaml:2:1: name: must be one part of a path that is safe everywhere, not "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: no `/`, no control character, no dot in front, at most 200 bytes',
    ),
    job(GOOD + "name: 2026\n", "job.yaml:2:1: name: must be text: put 2026 in quotes"),
    job(GOOD + "model: [a]\n", 'job.yaml:2:1: model: must be text, not ["a"]'),
    job(GOOD + "model: 4\n", "job.yaml:2:1: model: must be text: put 4 in quotes"),
    job(GOOD + "model: ''\n", "job.yaml:2:1: model: is blank"),
    job(GOOD + "template: 3\n", "job.yaml:2:1: template: must be text: put 3 in quotes"),
    job(GOOD + "template: ''\n", "job.yaml:2:1: template: is blank"),
    job(
        GOOD + "template: ['{{prompt}}']\n",
        'job.yaml:2:1: template: must be text, not ["{{prompt}}"]',
    ),
    job(GOOD + "samples: 0\n", "job.yaml:2:1: samples: must be at least 1, not 0"),
    job(GOOD + "samples: -1\n", "job.yaml:2:1: samples: must be at least 1, not -1"),
    job(GOOD + "samples: 1.5\n", "job.yaml:2:1: samples: must be a whole number, not 1.5"),
    job(GOOD + "samples: true\n", "job.yaml:2:1: samples: must be a whole number, not true"),
    job(GOOD + "samples: '4'\n", 'job.yaml:2:1: samples: must be a whole number, not "4"'),
    job(GOOD + "samples: 10001\n", "job.yaml:2:1: samples: must be at most 10000, not 10001"),
    job(GOOD + "samples:\n", "job.yaml:2:1: samples: must be a whole number, and is empty"),
    job(GOOD + "references: 3\n", "job.yaml:2:1: references: must be a list, not 3"),
    job(GOOD + "references: ['']\n", "job.yaml:2:14: references.0: is blank"),
    job(
        GOOD + f"references: [{'a.png, ' * 16}a.png]\n",
        "job.yaml:2:1: references: must hold at most 16, not 17",
    ),
    job(
        GOOD + "aspect_ratio: 0:9\n",
        'job.yaml:2:1: aspect_ratio: must be width:height, such as "16:9", not "0:9"',
    ),
    job(
        GOOD + "aspect_ratio: 16/9\n",
        'job.yaml:2:1: aspect_ratio: must be width:height, such as "16:9", not "16/9"',
    ),
    job(
        GOOD + "aspect_ratio: 1.78\n",
        'job.yaml:2:1: aspect_ratio: must be width:height, such as "16:9", not "1.78"',
    ),
    job(
        GOOD + "aspect_ratio: true\n",
        'job.yaml:2:1: aspect_ratio: must be width:height, such as "16:9", not "true"',
    ),
    job(
        GOOD + "image_size: big\n",
        'job.yaml:2:1: image_size: must be 1K, 2K, 4K, 512 or 1024x768, or the like, not "big"',
    ),
    job(
        GOOD + "image_size: 1024\u00d7768\n",
        'job.yaml:2:1: image_size: must be 1K, 2K, 4K, 512 or 1024x768, or the like, not "1024\u00d7768"',
    ),
    job(
        GOOD + "image_size: -1K\n",
        'job.yaml:2:1: image_size: must be 1K, 2K, 4K, 512 or 1024x768, or the like, not "-1K"',
    ),
    job(
        GOOD + "image_size: true\n",
        'job.yaml:2:1: image_size: must be 1K, 2K, 4K, 512 or 1024x768, or the like, not "true"',
    ),
    job(GOOD + "seed: seven\n", 'job.yaml:2:1: seed: must be a whole number, not "seven"'),
    job(GOOD + "seed: true\n", "job.yaml:2:1: seed: must be a whole number, not true"),
    job(GOOD + "params: 3\n", "job.yaml:2:1: params: must be a mapping of keys to values, not 3"),
    job(
        GOOD + "params: [temperature]\n",
        'job.yaml:2:1: params: must be a mapping of keys to values, not ["temperature"]',
    ),
    job(
        GOOD + "params: {messages: []}\n",
        "job.yaml:2:1: params: `messages` cannot be set here: use `prompts:` and `template:`",
    ),
    job(
        GOOD + "params: {model: x}\n",
        "job.yaml:2:1: params: `model` cannot be set here: use `model:` of the job, or of a row",
    ),
    job(
        GOOD + "params: {stream: 'true'}\n",
        'job.yaml:2:1: params: `stream` must be true or false, not "true"',
    ),
    job(GOOD + "keep: most\n", 'job.yaml:2:1: keep: must be all or first or last, not "most"'),
    job(GOOD + "keep: true\n", "job.yaml:2:1: keep: must be all or first or last, not true"),
    job(GOOD + "keep: [all]\n", 'job.yaml:2:1: keep: must be all or first or last, not ["all"]'),
    job(
        GOOD + "output: out\n",
        'job.yaml:2:1: output: must be a mapping of keys to values, not "out"',
    ),
    job(GOOD + "output: {dir: ''}\n", "job.yaml:2:10: output.dir: is blank"),
    job(GOOD + "output: {dir: 3}\n", "job.yaml:2:10: output.dir: must be text: put 3 in quotes"),
    job(
        GOOD + 'output: {dir: "a\\nb"}\n',
        "job.yaml:2:10: output.dir: holds the control character '\\n': remove it",
    ),
    job(
        GOOD + "output: {durability: disk}\n",
        'job.yaml:2:10: output.durability: must be power or process, not "disk"',
    ),
    job(
        GOOD + "output: {verify: true}\n",
        "job.yaml:2:10: output.verify: must be structure or decode, not true",
    ),
    job(GOOD + "limits: 64\n", "job.yaml:2:1: limits: must be a mapping of keys to values, not 64"),
    job(
        GOOD + "limits: {concurrency: 0}\n",
        "job.yaml:2:10: limits.concurrency: must be at least 1, not 0",
    ),
    job(
        GOOD + "limits: {concurrency: 2.5}\n",
        "job.yaml:2:10: limits.concurrency: must be a whole number, not 2.5",
    ),
    job(
        GOOD + "limits: {concurrency: false}\n",
        "job.yaml:2:10: limits.concurrency: must be a whole number, not false",
    ),
    job(
        GOOD + "limits: {requests_per_minute: 0}\n",
        "job.yaml:2:10: limits.requests_per_minute: must be greater than 0, not 0",
    ),
    job(
        GOOD + "limits: {requests_per_minute: -1}\n",
        "job.yaml:2:10: limits.requests_per_minute: must be greater than 0, not -1",
    ),
    job(
        GOOD + "limits: {requests_per_minute: fast}\n",
        'job.yaml:2:10: limits.requests_per_minute: must be a number, not "fast"',
    ),
    job(
        GOOD + "limits: {requests_per_minute: true}\n",
        "job.yaml:2:10: limits.requests_per_minute: must be a number, not true",
    ),
    job(
        GOOD + "limits: {adaptive: 1}\n",
        "job.yaml:2:10: limits.adaptive: must be true or false, not 1",
    ),
    job(GOOD + "retry: {attempts: 0}\n", "job.yaml:2:9: retry.attempts: must be at least 1, not 0"),
    job(
        GOOD + "retry: {attempts: lots}\n",
        'job.yaml:2:9: retry.attempts: must be a whole number, not "lots"',
    ),
    job(
        GOOD + "retry: {attempts: true}\n",
        "job.yaml:2:9: retry.attempts: must be a whole number, not true",
    ),
    job(
        GOOD + "retry: {max_wait: 0}\n",
        "job.yaml:2:9: retry.max_wait: must be greater than 0, not 0",
    ),
    job(
        GOOD + "retry: {max_wait: 1m}\n", 'job.yaml:2:9: retry.max_wait: must be a number, not "1m"'
    ),
    job(
        GOOD + "retry: {no_image: 0, refused: -1, lost: x}\n",
        'job.yaml:2:9: retry.no_image: must be at least 1, not 0\njob.yaml:2:22: retry.refused: must be at least 1, not -1\njob.yaml:2:35: retry.lost: must be a whole number, not "x"',
    ),
    job(GOOD + "retry: [5]\n", "job.yaml:2:1: retry: must be a mapping of keys to values, not [5]"),
    job(
        GOOD + "timeouts: {connect: 0}\n",
        "job.yaml:2:12: timeouts.connect: must be greater than 0, not 0",
    ),
    job(
        GOOD + "timeouts: {idle: -3}\n",
        "job.yaml:2:12: timeouts.idle: must be greater than 0, not -3",
    ),
    job(
        GOOD + "timeouts: {total: 10m}\n",
        'job.yaml:2:12: timeouts.total: must be a number, not "10m"',
    ),
    job(
        GOOD + "timeouts: {connect: true, idle: [], total: {}}\n",
        "job.yaml:2:12: timeouts.connect: must be a number, not true\njob.yaml:2:27: timeouts.idle: must be a number, not []\njob.yaml:2:37: timeouts.total: must be a number, not {}",
    ),
    job(
        GOOD + "timeouts:\n",
        "job.yaml:2:1: timeouts: must be a mapping of keys to values, and is empty",
    ),
    job(
        GOOD + "stop: {failures_in_a_row: 0}\n",
        "job.yaml:2:8: stop.failures_in_a_row: must be at least 1, not 0",
    ),
    job(
        GOOD + "stop: {grace_int: -1, grace_term: soon}\n",
        'job.yaml:2:8: stop.grace_int: must be greater than 0, not -1\njob.yaml:2:23: stop.grace_term: must be a number, not "soon"',
    ),
]

UNKNOWN = [
    job(
        "promts: [a]\n",
        "job.yaml:1:1: prompts: is missing (did you write `promts` for it?)\njob.yaml:1:1: promts: unknown key (did you mean `prompts`?)",
    ),
    job(
        "Prompts: [a]\n",
        "job.yaml:1:1: prompts: is missing (did you write `Prompts` for it?)\njob.yaml:1:1: Prompts: unknown key (did you mean `prompts`?)",
    ),
    job(
        "prompt: a red fox\n",
        "job.yaml:1:1: prompts: is missing (did you write `prompt` for it?)\njob.yaml:1:1: prompt: unknown key (did you mean `prompts`?)",
    ),
    job(GOOD + "sampels: 2\n", "job.yaml:2:1: sampels: unknown key (did you mean `samples`?)"),
    job(
        GOOD + "colour: red\n",
        "job.yaml:2:1: colour: unknown key: " + KNOWN,
    ),
    job(
        GOOD + "concurrency: 8\n",
        "job.yaml:2:1: concurrency: unknown key here (did you mean `limits.concurrency`?)",
    ),
    job(
        GOOD + "attempts: 3\n",
        "job.yaml:2:1: attempts: unknown key here (did you mean `retry.attempts`?)",
    ),
    job(GOOD + "dir: out\n", "job.yaml:2:1: dir: unknown key here (did you mean `output.dir`?)"),
    job(
        GOOD + "base_url: https://x.test\n",
        "job.yaml:2:1: base_url: unknown key here (did you mean `provider.base_url`?)",
    ),
    job(
        GOOD + "api_key: sk-123\n",
        "job.yaml:2:1: api_key: unknown key: " + KNOWN,
    ),
    job(
        GOOD + "api_key_env: OPENROUTER_API_KEY\n",
        "job.yaml:2:1: api_key_env: unknown key here (did you mean `provider.api_key_env`?)",
    ),
    job(
        GOOD + "extends: other.yaml\n",
        "job.yaml:2:1: extends: unknown key: " + KNOWN,
    ),
    job(
        GOOD + "include: other.yaml\n",
        "job.yaml:2:1: include: unknown key here (did you mean `matrix.include`?)",
    ),
    job(
        GOOD + "limits: {rpm: 60}\n",
        "job.yaml:2:10: limits.rpm: unknown key: known here are concurrency, requests_per_minute, images_per_minute, adaptive",
    ),
    job(
        GOOD + "limits: {request_per_minute: 60}\n",
        "job.yaml:2:10: limits.request_per_minute: unknown key (did you mean `requests_per_minute`?)",
    ),
    job(
        GOOD + "limits: {samples: 3}\n",
        "job.yaml:2:10: limits.samples: unknown key here (did you mean `samples`?)",
    ),
    job(
        GOOD + "retry: {retries: 3}\n",
        "job.yaml:2:9: retry.retries: unknown key: known here are attempts, max_wait, no_image, refused, lost",
    ),
    job(
        GOOD + "timeouts: {read: 3}\n",
        "job.yaml:2:12: timeouts.read: unknown key: known here are connect, idle, total",
    ),
    job(
        GOOD + "output: {folder: x}\n",
        "job.yaml:2:10: output.folder: unknown key: known here are dir, path, durability, verify",
    ),
    job(
        GOOD + "stop: {grace: 3}\n",
        "job.yaml:2:8: stop.grace: unknown key (did you mean `grace_int`?)",
    ),
    job(
        "prompts: {file: p.csv, colum: text}\n",
        "job.yaml:1:24: prompts.colum: unknown key (did you mean `column`?)",
    ),
    job(
        "sampels: 2\npromts: [a]\nretry: {attempt: 0}\nkeep: none\n",
        'job.yaml:1:1: prompts: is missing (did you write `promts` for it?)\njob.yaml:1:1: sampels: unknown key (did you mean `samples`?)\njob.yaml:2:1: promts: unknown key (did you mean `prompts`?)\njob.yaml:3:9: retry.attempt: unknown key (did you mean `attempts`?)\njob.yaml:4:1: keep: must be all or first or last, not "none"',
    ),
]

LATER = [
    job(
        "prompts: {file: p.parquet}\n",
        "job.yaml:1:11: prompts.file: a .parquet file is not supported yet: write it as .jsonl or .csv",
    ),
    job(
        "prompts: {file: p.txt, sample: {n: 3}}\n",
        "job.yaml:1:24: prompts.sample: `sample` is not supported yet: leave it out",
    ),
    job(
        GOOD + "limits: {images_per_minute: 0}\n",
        "job.yaml:2:10: limits.images_per_minute: must be greater than 0, not 0",
    ),
]

TEMPLATES = [
    job(
        GOOD + "template: '{{promt}}'\n",
        "job.yaml:2:1: template: unknown name `{{promt}}` (did you mean `prompt`?)",
    ),
    job(
        GOOD + "template: '{{style}}'\n",
        "job.yaml:2:1: template: unknown name `{{style}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + "template: '{{prompt'\n",
        "job.yaml:2:1: template: character 1: `{{` is not closed: write a name as `{{name}}`",
    ),
    job(
        GOOD + "template: '{{'\n",
        "job.yaml:2:1: template: character 1: `{{` is not closed: write a name as `{{name}}`",
    ),
    job(GOOD + "template: '{{}}'\n", "job.yaml:2:1: template: character 1: `{{}}` names nothing"),
    job(GOOD + "template: '{{ }}'\n", "job.yaml:2:1: template: character 1: `{{ }}` names nothing"),
    job(
        GOOD + "template: 'a {{prompt}} {{b'\n",
        "job.yaml:2:1: template: character 14: `{{` is not closed: write a name as `{{name}}`",
    ),
    job(
        GOOD + "template: '{{prompt:05}}'\n",
        'job.yaml:1: template: `{{prompt:05}}` needs a number, not "a red fox"',
    ),
    job(
        GOOD + "template: '{{prompt:5}}'\n",
        "job.yaml:2:1: template: unknown name `{{prompt:5}}` (did you mean `prompt`?)",
    ),
    job(
        GOOD + "template: '{{sample:0999}}'\n",
        "job.yaml:2:1: template: unknown name `{{sample:0999}}` (did you mean `sample`?)",
    ),
    job(
        GOOD + "template: '{{sample:>10}}'\n",
        "job.yaml:2:1: template: unknown name `{{sample:>10}}` (did you mean `sample`?)",
    ),
    job(
        GOOD + "template: '{{prompt.upper()}}'\n",
        "job.yaml:2:1: template: unknown name `{{prompt.upper()}}` (did you mean `prompt`?)",
    ),
    job(
        GOOD + "template: '{{prompt.__class__.__mro__}}'\n",
        "job.yaml:2:1: template: unknown name `{{prompt.__class__.__mro__}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + "template: '{{prompt | upper}}'\n",
        "job.yaml:2:1: template: unknown name `{{prompt | upper}}` (did you mean `prompt`?)",
    ),
    job(
        GOOD + "template: '{{prompt|e}}'\n",
        "job.yaml:2:1: template: unknown name `{{prompt|e}}` (did you mean `prompt`?)",
    ),
    job(
        GOOD + "template: '{{7 * 7}}'\n",
        "job.yaml:2:1: template: unknown name `{{7 * 7}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + "template: '{% for x in y %}{{x}}{% endfor %}'\n",
        "job.yaml:2:1: template: unknown name `{{x}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + "template: '{{env.HOME}}'\n",
        "job.yaml:2:1: template: unknown name `{{env.HOME}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + "template: '{{env:KNOXCHAT_API_KEY}}'\n",
        "job.yaml:2:1: template: unknown name `{{env:KNOXCHAT_API_KEY}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + "template: '{{$HOME}} {{${KNOXCHAT_API_KEY}}}'\n",
        "job.yaml:2:1: template: character 11: `{{` is not closed: write a name as `{{name}}`",
    ),
    job(
        GOOD + "template: '{{config}} {{self}}'\n",
        "job.yaml:2:1: template: unknown name `{{config}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep; unknown name `{{self}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + "template: '{{seed}}'\n",
        "job.yaml:2:1: template: unknown name `{{seed}}`: `seed` is not set for every image",
    ),
    job(
        GOOD + "template: '{{row}}'\n",
        "job.yaml:2:1: template: unknown name `{{row}}`: no row has an `id`",
    ),
    job(
        GOOD + "template: '{{id}}'\n",
        "job.yaml:2:1: template: unknown name `{{id}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + "template: '{{slug}}'\n",
        "job.yaml:2:1: template: unknown name `{{slug}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        "prompts: [{prompt: a, style: oil}, b]\ntemplate: '{{style}}'\n",
        "job.yaml:1: style: is missing here, and the job's `template` names it",
    ),
    job(
        "prompts: [{prompt: a, style: ' '}]\ntemplate: '{{style}}'\n",
        "job.yaml:1: template: the filled-in prompt is blank",
    ),
    job(
        "prompts: [{prompt: a, n: x}]\ntemplate: '{{prompt}}{{n:03}}'\n",
        'job.yaml:1: template: `{{n:03}}` needs a number, not "x"',
    ),
    job(
        "prompts: [{prompt: a, n: [1]}]\ntemplate: '{{prompt}}{{n:03}}'\n",
        "job.yaml:1: template: `{{n:03}}` needs a number, not [1]",
    ),
    job(
        "prompts: [{prompt: a, n: true}]\ntemplate: '{{prompt}}{{n:03}}'\n",
        "job.yaml:1: template: `{{n:03}}` needs a number, not true",
    ),
    job(
        "prompts: [{prompt: a, index: 3}]\ntemplate: '{{prompt}}{{index}}'\n",
        "job.yaml:2:1: template: `{{index}}` has a meaning of its own here, which hides the column `index`: rename the column",
    ),
    job(
        GOOD + 'template: "{{a\\u001b[31m}}"\n',
        "job.yaml:2:1: template: unknown name `{{a\\x1b[31m}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + f"template: '{{{{{'x' * 5000}}}}}'\n",
        "job.yaml:2:1: template: unknown name `{{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + f"template: '{{{{{' ' * 500_000}'\n",
        "job.yaml:2:1: template: character 1: `{{` is not closed: write a name as `{{name}}`",
    ),
    job(
        GOOD + f"template: '{'{{ ' * 200_000}'\n",
        "job.yaml:2:1: template: character 1: `{{` is not closed: write a name as `{{name}}`",
    ),
]

MATRICES = [
    job(
        GOOD + "matrix: [a]\n",
        'job.yaml:2:1: matrix: must be a mapping of keys to values, not ["a"]',
    ),
    job(GOOD + "matrix: 3\n", "job.yaml:2:1: matrix: must be a mapping of keys to values, not 3"),
    job(GOOD + "matrix: {style: oil}\n", 'job.yaml:2:10: matrix.style: must be a list, not "oil"'),
    job(GOOD + "matrix: {style: []}\n", "job.yaml:2:10: matrix.style: must not be empty"),
    job(
        GOOD + "matrix: {style: {a: b}}\n",
        'job.yaml:2:10: matrix.style: must be a list, not {"a": "b"}',
    ),
    job(GOOD + "matrix: {style: }\n", "job.yaml:2:10: matrix.style: must be a list, and is empty"),
    job(
        GOOD + "matrix: {style: [[a]]}\n",
        'job.yaml:2:18: matrix.style.0: must be text, a number, true or false, not ["a"]',
    ),
    job(
        GOOD + "matrix: {style: [null]}\n",
        "job.yaml:2:18: matrix.style.0: must be text, a number, true or false, not null",
    ),
    job(
        GOOD + "matrix: {style: [{a: b}]}\n",
        'job.yaml:2:18: matrix.style.0: must be text, a number, true or false, not {"a": "b"}',
    ),
    job(
        GOOD + "matrix: {prompt: [a]}\n",
        "job.yaml:2:10: matrix.prompt: `prompt` is a name of its own: choose another for the axis",
    ),
    job(
        GOOD + "matrix: {index: [1]}\n",
        "job.yaml:2:10: matrix.index: `index` is a name of its own: choose another for the axis",
    ),
    job(
        GOOD + "matrix: {id: [1]}\n",
        "job.yaml:2:10: matrix.id: `id` is a name of its own: choose another for the axis",
    ),
    job(
        GOOD + "matrix: {ext: [png]}\n",
        "job.yaml:2:10: matrix.ext: `ext` is a name of its own: choose another for the axis",
    ),
    job(
        GOOD + "matrix: {seed: [1, two]}\n",
        'job.yaml:2:20: matrix.seed.1: must be a whole number, not "two"',
    ),
    job(
        GOOD + "matrix: {keep: [fist]}\n",
        'job.yaml:2:17: matrix.keep.0: must be all or first or last, not "fist" (did you mean `first`?)',
    ),
    job(
        GOOD + "matrix: {model: [3]}\n",
        "job.yaml:2:18: matrix.model.0: must be text: put 3 in quotes",
    ),
    job(
        GOOD + "matrix: {aspect_ratio: ['16x9']}\n",
        'job.yaml:2:25: matrix.aspect_ratio.0: must be width:height, such as "16:9", not "16x9"',
    ),
    job(
        GOOD + "matrix: {params: [{model: x}]}\n",
        "job.yaml:2:19: matrix.params.0: `model` cannot be set here: use `model:` of the job, or of a row",
    ),
    job(
        GOOD + "matrix: {a: [1], exclude: {a: 1}}\n",
        'job.yaml:2:18: matrix.exclude: must be a list, not {"a": 1}',
    ),
    job(
        GOOD + "matrix: {a: [1], exclude: [1]}\n",
        "job.yaml:2:28: matrix.exclude.0: must be a mapping of keys to values, not 1",
    ),
    job(
        GOOD + "matrix: {a: [1], exclude: [{}]}\n",
        "job.yaml:2:28: matrix.exclude.0: is empty: name at least one axis and its value",
    ),
    job(
        GOOD + "matrix: {a: [1], exclude: [{a: 1}]}\n",
        "job.yaml:2:1: matrix: leaves no combination: exclude less",
    ),
    job(
        GOOD + "matrix: {style: [1, 2], exclude: [{stlye: 1}]}\n",
        "job.yaml:2:36: matrix.exclude.0.stlye: is no axis and no column (did you mean `style`?)",
    ),
    job(
        GOOD + "matrix: {a: [1, 2], exclude: [{a: [1]}]}\n",
        "job.yaml:2:32: matrix.exclude.0.a: must be text, a number, true or false, not [1]",
    ),
    job(
        GOOD + "matrix: {a: [1, 2], exclude: [{id: city}]}\n",
        "job.yaml:2:32: matrix.exclude.0.id: no row has the id `city`",
    ),
    job(
        GOOD + "matrix: {a: [1], include: [{}]}\n",
        "job.yaml:2:28: matrix.include.0: is empty: name at least one axis and its value",
    ),
    job(
        GOOD + "matrix: {a: [1], include: [{index: 3}]}\n",
        "job.yaml:2:29: matrix.include.0.index: `index` is a name of its own: choose another for the axis",
    ),
    job(
        GOOD + "matrix: {a: [1], include: [{b: [3]}]}\n",
        "job.yaml:2:29: matrix.include.0.b: must be text, a number, true or false, not [3]",
    ),
    job(
        GOOD + "matrix: {a: [1], include: [{seed: x}]}\n",
        'job.yaml:2:29: matrix.include.0.seed: must be a whole number, not "x"',
    ),
    job(
        GOOD + "matrix: {a: [1], include: [{id: x, b: 2}]}\n",
        "job.yaml:2:29: matrix.include.0.id: no row has the id `x`",
    ),
    job(
        GOOD + "matrix:\n" + "".join(f"  a{n}: [{'1, ' * 9}1]\n" for n in range(9)),
        "job.yaml:2:1: matrix: 1,000,000,000 combinations: a plan has at most 100,000,000 tasks",
    ),
    job(
        GOOD + f"matrix: {{{', '.join(f'a{n}: [1, 2]' for n in range(15_000))}}}\n",
        "job.yaml:2:1: matrix: more than 1,000,000,000,000,000,000,000,000,000,000 combinations: a plan has at most 100,000,000 tasks",
    ),
    job(
        GOOD + f"matrix: {{a: {[*range(9999)]}, exclude: [{'{a: 1}, ' * 1001}{{a: 2}}]}}\n",
        "job.yaml:2:58899: matrix.exclude: 1,002 entries for 9,999 combinations are too many to compare: use a prompt file with these as columns",
    ),
    job(
        GOOD + f"matrix: {{a: [{'1, ' * 200}1], b: [{'2, ' * 99}2]}}\nsamples: 10000\n",
        "job.yaml:3:1: samples: 201,000,000 tasks are planned: at most 100,000,000 can be",
    ),
]

PATHS = [
    job(GOOD + "output: {path: 3}\n", "job.yaml:2:10: output.path: must be text: put 3 in quotes"),
    path("", "job.yaml:3:3: output.path: is blank"),
    path(
        "/etc/{{id}}.png",
        "job.yaml:3:3: output.path: a path is relative, stays inside the output folder and ends in a file name: a name is missing beside a `/`",
    ),
    path(
        "../{{id}}.png",
        "job.yaml:3:3: output.path: a path is relative, stays inside the output folder and ends in a file name: `..` has no place in it",
    ),
    path(
        "a/../../{{id}}.png",
        "job.yaml:3:3: output.path: a path is relative, stays inside the output folder and ends in a file name: `..` has no place in it",
    ),
    path(
        "a/./{{id}}.png",
        "job.yaml:3:3: output.path: a path is relative, stays inside the output folder and ends in a file name: `.` has no place in it",
    ),
    path(
        "a//{{id}}.png",
        "job.yaml:3:3: output.path: a path is relative, stays inside the output folder and ends in a file name: a name is missing beside a `/`",
    ),
    path(
        "images/",
        "job.yaml:3:3: output.path: a path is relative, stays inside the output folder and ends in a file name: a name is missing beside a `/`",
    ),
    path(
        "{{id}}/",
        "job.yaml:3:3: output.path: a path is relative, stays inside the output folder and ends in a file name: a name is missing beside a `/`",
    ),
    path(
        "~/{{id}}.png",
        "job.yaml:3:3: output.path: a path is relative, stays inside the output folder and ends in a file name: `~` has no place in it",
    ),
    path(
        "C:\\{{id}}.png",
        "job.yaml:3:3: output.path: a path holds no backslash: write `/` between folders",
    ),
    path(
        "a\0{{id}}.png",
        "job.yaml:3:3: output.path: a path cannot hold '\\x00', which nobody sees: remove it",
    ),
    path(
        "a\n{{id}}.png",
        "job.yaml:3:3: output.path: a path cannot hold '\\n', which nobody sees: remove it",
    ),
    path(
        "a\u202e{{id}}.png",
        "job.yaml:3:3: output.path: a path cannot hold '\\u202e', which nobody sees: remove it",
    ),
    path(
        ".state/{{id}}.png",
        "job.yaml:3:3: output.path: nothing is kept below `.state/`: choose another folder",
    ),
    path(
        ".STATE/{{id}}.png",
        "job.yaml:3:3: output.path: nothing is kept below `.state/`: choose another folder",
    ),
    path(
        ".hidden/{{id}}.png",
        "job.yaml:3:3: output.path: a path is relative, stays inside the output folder and ends in a file name: `.hidden` has no place in it",
    ),
    path(
        "a/" * 500 + "{{id}}.png",
        "job.yaml:1: output.path: `a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/…` is longer than 1,000 bytes in all",
    ),
    path(
        "{{x}}/" * 11 + "{{id}}.png",
        "job.yaml:3:3: output.path: unknown name `{{x}}`: there are index, sample, image, id, row, slug, shard, model, ext, prompt, aspect_ratio, image_size, seed, keep",
    ),
    path(
        "manifest.jsonl",
        "job.yaml:3:3: output.path: `manifest.jsonl` is a file of the output folder itself: choose another",
    ),
    path(
        "Manifest.JSONL",
        "job.yaml:3:3: output.path: `Manifest.JSONL` is a file of the output folder itself: choose another",
    ),
    path(
        "manifest.jsonl/{{id}}.png",
        "job.yaml:3:3: output.path: `manifest.jsonl` is a file of the output folder itself: choose another",
    ),
    path(
        "job.yaml",
        "job.yaml:3:3: output.path: `job.yaml` is a file of the output folder itself: choose another",
    ),
    path(
        "metadata.jsonl",
        "job.yaml:3:3: output.path: `metadata.jsonl` is a file of the output folder itself: choose another",
    ),
    job(
        GOOD + f"output: {{path: {'x' * 300}-{{{{id}}}}.png}}\n",
        "job.yaml:2:9: not YAML: this `{` is never closed, or text in it that holds `{`, `,` or `: ` lacks its quotes",
    ),
    path(
        "{{id:05}}.png",
        "job.yaml:3:3: output.path: `{{id:05}}` pads a number, and `id` is text: write `{{id}}`",
    ),
    path(
        "{{slug:03}}-{{id}}.png",
        "job.yaml:3:3: output.path: `{{slug:03}}` pads a number, and `slug` is text: write `{{slug}}`",
    ),
    path(
        "{{nmae}}-{{id}}.png",
        "job.yaml:3:3: output.path: unknown name `{{nmae}}` (did you mean `image`?)",
    ),
    path(
        "{{env.HOME}}/{{id}}.png",
        "job.yaml:3:3: output.path: unknown name `{{env.HOME}}`: there are index, sample, image, id, row, slug, shard, model, ext, prompt, aspect_ratio, image_size, seed, keep",
    ),
    path(
        "{{id.png",
        "job.yaml:3:3: output.path: character 1: `{{` is not closed: write a name as `{{name}}`",
    ),
    path(
        "{{row}}-{{id}}.png",
        "job.yaml:3:3: output.path: unknown name `{{row}}`: no row has an `id`",
    ),
    path(
        "{{seed}}-{{id}}.png",
        "job.yaml:3:3: output.path: unknown name `{{seed}}`: `seed` is not set for every image",
    ),
    job(
        "prompts: [a, b]\noutput: {path: x.png}\n",
        "job.yaml:2:10: output.path: two tasks of line 1 get the same file `x.png`: add `{{id}}`, or `{{index}}` and `{{sample}}`",
    ),
    job(
        "prompts: [a b, a-b]\noutput: {path: '{{slug}}.png'}\n",
        "job.yaml:2:10: output.path: two tasks of line 1 get the same file `a-b.png`: add `{{id}}`, or `{{index}}` and `{{sample}}`",
    ),
    job(
        "prompts: [a]\nsamples: 2\noutput: {path: '{{index}}.png'}\n",
        "job.yaml:3:10: output.path: two tasks of line 1 get the same file `0.png`: add `{{id}}`, or `{{index}}` and `{{sample}}`",
    ),
    job(
        "prompts: [a, b]\noutput: {path: '{{image}}.png'}\n",
        "job.yaml:2:10: output.path: two tasks of line 1 get the same file `0.png`: add `{{id}}`, or `{{index}}` and `{{sample}}`",
    ),
    job(
        "prompts: [{prompt: a, n: x}, b]\noutput: {path: '{{n}}-{{id}}.png'}\n",
        "job.yaml:1: n: is missing here, and the job's `output.path` names it",
    ),
    job(
        "prompts: [{prompt: a, n: x}]\noutput: {path: '{{n:04}}-{{id}}.png'}\n",
        'job.yaml:1: output.path: `{{n:04}}` needs a number, not "x"',
    ),
    job(
        "prompts: [{prompt: a, slug: x}]\noutput: {path: '{{slug}}-{{id}}.png'}\n",
        "job.yaml:2:10: output.path: `{{slug}}` has a meaning of its own here, which hides the column `slug`: rename the column",
    ),
    job(
        f"prompts: [{{prompt: a, x: {'ü' * 99}}}]\n"
        "output: {path: '{{x}}{{x}}{{x}}-{{id}}.png'}\n",
        "job.yaml:1: output.path: `üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü…` is longer than 255 bytes, its end included: up to `-99.webp` where a reply has several images",
    ),
]

MONEY = [
    job(GOOD + f"budget: {wrong}\n", "job.yaml:2:", begins=True)
    for wrong in ("20", "many", "[20]", "{usd: -1}", "{usd: many}", "{usd: .inf}")
] + [
    job(GOOD + f"budget: {wrong}\n", "job.yaml:2:", begins=True)
    for wrong in ("{usd: true}", "{usd: '20'}", "{usd: [1]}", "{eur: 20}", "{usd: 1, usd: 2}")
]

SECRETS = [
    profile(f"{PROVIDER}api_key_command: {wrong}\n", "p.yaml:3:", begins=True)
    for wrong in ("3", "{a: b}", "[3]", "true")
]

TEXTS = [
    prompts("p.txt", "", "p.txt: holds no prompt"),
    prompts("p.txt", "\n \n\t\r\n", "p.txt: holds no prompt"),
    prompts("p.txt", codecs.BOM_UTF8, "p.txt: holds no prompt"),
    prompts(
        "p.txt",
        "grün\ngrün\n".encode("latin-1"),
        "p.txt:1: byte 3 is not UTF-8: save the file as UTF-8\np.txt:2: byte 3 is not UTF-8: save the file as UTF-8",
    ),
    prompts("p.txt", "a\n".encode("utf-16"), "p.txt:1: is UTF-16: save the file as UTF-8"),
    prompts(
        "p.txt",
        "ü\n".encode() + "ü\n".encode("latin-1"),
        "p.txt:2: byte 1 is not UTF-8: save the file as UTF-8",
    ),
    prompts("p.txt", b"a\n\xed\xa0\x80\n", "p.txt:2: byte 1 is not UTF-8: save the file as UTF-8"),
    prompts(
        "p.txt",
        b"\xff\n" * 50,
        "\n".join(f"p.txt:{n}: byte 1 is not UTF-8: save the file as UTF-8" for n in range(1, 21)),
    ),
    prompts(
        "p.txt",
        b"a\n" + b"x" * 4 * 1024**2 + b"\nb\n",
        "p.txt:2: the line is longer than 4,194,304 bytes",
    ),
    prompts("p.txt", "red fox\n".encode("utf-16-le"), "p.txt:1: is UTF-16: save the file as UTF-8"),
    prompts("p.txt", "red fox\n".encode("utf-16-be"), "p.txt:1: is UTF-16: save the file as UTF-8"),
    prompts("p.csv", "prompt\na\n".encode("utf-16"), "p.csv:1: is UTF-16: save the file as UTF-8"),
    prompts(
        "p.jsonl",
        '{"prompt": "a"}'.encode("utf-16-le"),
        "p.jsonl:1: is UTF-16: save the file as UTF-8",
    ),
]

TABLES = [
    prompts("p.csv", "", "p.csv: holds no prompt"),
    prompts("p.csv", "prompt\n", "p.csv: holds no prompt"),
    prompts("p.csv", "\nprompt\na\n", "p.csv:1: is blank, and the first line names the columns"),
    prompts(
        "p.csv",
        "text,style\na,b\n",
        "p.csv:1: prompts.column: there is no column `prompt`: there are text, style",
    ),
    prompts(
        "p.csv",
        "Prompt\na\n",
        "p.csv:1: prompts.column: there is no column `prompt` (did you mean `Prompt`?)",
    ),
    prompts(
        "p.csv",
        "prompt;style\na;b\n",
        "p.csv:1: prompts.column: there is no column `prompt`: its cells have semicolons between them, where a .csv file has commas",
    ),
    prompts(
        "p.csv",
        "prompt\tstyle\na\tb\n",
        "p.csv:1: prompts.column: there is no column `prompt`: its cells have tabs between them, so name the file .tsv",
    ),
    prompts(
        "p.csv",
        "text\na\n",
        "p.csv:1: prompts.column: there is no column `txt` (did you mean `text`?)",
        more=", column: txt",
    ),
    prompts(
        "p.csv",
        "prompt\na\n",
        "p.csv:1: prompts.id: there is no column `name`: there are prompt",
        more=", id: name",
    ),
    prompts(
        "p.csv", "prompt,prompt\na,b\n", "p.csv:1: prompt: two columns have this name: rename one"
    ),
    prompts(
        "p.csv",
        "prompt,x,x,y,y\na,1,2,3,4\n",
        "p.csv:1: x: two columns have this name: rename one\np.csv:1: y: two columns have this name: rename one",
    ),
    prompts(
        "p.csv",
        "prompt,style\na\nb,c,d\n",
        "p.csv:2: 1 cell, but the header has 2\np.csv:3: 3 cells, but the header has 2",
    ),
    prompts("p.csv", "prompt,style\na,b\n\nc,d\n", "p.csv:3: 1 cell, but the header has 2"),
    prompts(
        "p.csv", "prompt,style\n,b\n  ,c\n", "p.csv:2: prompt: is blank\np.csv:3: prompt: is blank"
    ),
    prompts(
        "p.csv",
        'prompt\n"never closed\nb\n',
        "p.csv:2: not a record of a .csv file: its quote is never closed; a cell that holds a quote or a comma is quoted, and its own quotes are doubled",
    ),
    prompts(
        "p.csv",
        'prompt\n"a" b\nc\n',
        "p.csv:2: not a record of a .csv file: ',' expected after '\"'; a cell that holds a quote or a comma is quoted, and its own quotes are doubled",
    ),
    prompts(
        "p.csv",
        "prompt\na\rb\n",
        "p.csv:2: not a record of a .csv file: a carriage return stands in a cell without quotes; a cell that holds a quote or a comma is quoted, and its own quotes are doubled",
    ),
    prompts("p.csv", b"prompt\n\xe4\n", "p.csv:2: byte 1 is not UTF-8: save the file as UTF-8"),
    prompts("p.csv", b"\xff\xfep\x00r\x00", "p.csv:1: is UTF-16: save the file as UTF-8"),
    prompts(
        "p.csv",
        "prompt,seed\na,1.5\nb,x\nc,99999999999999999999\n",
        "p.csv:2: seed: must be a whole number, not `1.5`\np.csv:3: seed: must be a whole number, not `x`\np.csv:4: seed: must be a whole number, not `99999999999999999999`",
    ),
    prompts(
        "p.csv",
        "prompt,params\na,{\nb,[1]\n",
        'p.csv:2: params: must be JSON such as {"temperature": 1}, not `{`\np.csv:3: params: must be JSON such as {"temperature": 1}, not `[1]`',
    ),
    prompts(
        "p.csv", "prompt,keep\na,none\n", 'p.csv:2: keep: must be all or first or last, not "none"'
    ),
    prompts(
        "p.csv",
        "prompt,aspect_ratio\na,16x9\n",
        'p.csv:2: aspect_ratio: must be width:height, such as "16:9", not "16x9"',
    ),
    prompts(
        "p.csv",
        'prompt,references\na,"[""x.png"""\n',
        'p.csv:2: references: must be a path, an address, or a JSON list such as ["a.png", "b.png"]',
    ),
    prompts(
        "p.csv",
        "prompt,id,name\na,1,x\n",
        "p.csv:2: id: `prompts.id: name` would hide this column: rename it",
        more=", id: name",
    ),
    prompts(
        "p.tsv",
        "prompt,style\na,b\n",
        "p.tsv:1: prompts.column: there is no column `prompt`: its cells have commas between them, so name the file .csv",
    ),
    prompts(
        "p.tsv",
        "prompt\tstyle\na\nb\tc\td\n",
        "p.tsv:2: 1 cell, but the header has 2\np.tsv:3: 3 cells, but the header has 2",
    ),
    prompts(
        "p.tsv",
        "Prompt\tCategory\na\tb\n",
        "p.tsv:1: prompts.column: there is no column `prompt` (did you mean `Prompt`?)",
    ),
    prompts("p.tsv", b"prompt\n\x80\n", "p.tsv:2: byte 1 is not UTF-8: save the file as UTF-8"),
    prompts("p.tsv", "prompt\tprompt\n", "p.tsv:1: prompt: two columns have this name: rename one"),
]

OBJECTS = [
    prompts("p.jsonl", "", "p.jsonl: holds no prompt"),
    prompts("p.jsonl", "{}\n", "p.jsonl:1: prompt: is missing"),
    prompts("p.jsonl", "[]\n", 'p.jsonl:1: must be an object, such as {"prompt": "a red fox"}'),
    prompts(
        "p.jsonl", '"a red fox"\n', 'p.jsonl:1: must be an object, such as {"prompt": "a red fox"}'
    ),
    prompts("p.jsonl", "null\n", 'p.jsonl:1: must be an object, such as {"prompt": "a red fox"}'),
    prompts(
        "p.jsonl",
        "a red fox\n",
        'p.jsonl:1:1: not JSON: Expecting value; every line is an object, such as {"prompt": "a red fox"}',
    ),
    prompts(
        "p.jsonl",
        "{'prompt': 'a'}\n",
        'p.jsonl:1:2: not JSON: Expecting property name enclosed in double quotes; every line is an object, such as {"prompt": "a red fox"}',
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a",}\n',
        'p.jsonl:1:16: not JSON: Expecting property name enclosed in double quotes; every line is an object, such as {"prompt": "a red fox"}',
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a"}{"prompt": "b"}\n',
        'p.jsonl:1:16: not JSON: Extra data; every line is an object, such as {"prompt": "a red fox"}',
    ),
    prompts(
        "p.jsonl",
        '{\n  "prompt": "a"\n}\n',
        'p.jsonl:1:1: not JSON: Expecting property name enclosed in double quotes; every line is an object, such as {"prompt": "a red fox"}\np.jsonl:2:11: not JSON: Extra data; every line is an object, such as {"prompt": "a red fox"}\np.jsonl:3:1: not JSON: Expecting value; every line is an object, such as {"prompt": "a red fox"}',
    ),
    prompts(
        "p.jsonl",
        '{"prompt": ""}\n{"prompt": 3}\n{"prompt": null}\n',
        "p.jsonl:1: prompt: is blank\np.jsonl:2: prompt: must be text: put 3 in quotes\np.jsonl:3: prompt: must be text, and is empty",
    ),
    prompts(
        "p.jsonl",
        '{"promt": "a"}\n',
        "p.jsonl:1: prompt: is missing (did you write `promt` for it?)",
    ),
    prompts(
        "p.jsonl", '{"prompt": "a", "prompt": "b"}\n', "p.jsonl:1: prompt: is given twice: keep one"
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "x": NaN}\n{"prompt": "a", "x": 1e999}\n',
        "p.jsonl:1: NaN is no number that JSON can hold\np.jsonl:2: 1e999 is no number that JSON can hold",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "x": ' + "9" * 5000 + "}\n",
        "p.jsonl:1: not JSON: a number has too many digits",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "x": 18446744073709551616}\n',
        "p.jsonl:1: cannot be kept: a number of more than 64 bits: put it in quotes",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "\\ud800"}\n',
        "p.jsonl:1: cannot be kept: it holds half of a surrogate pair, such as \\ud800, which is no text",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "\\udfff": 1}\n',
        "p.jsonl:1: cannot be kept: it holds half of a surrogate pair, such as \\ud800, which is no text",
    ),
    prompts(
        "p.jsonl",
        b'{"prompt": "\xe4"}\n',
        "p.jsonl:1: byte 13 is not UTF-8: save the file as UTF-8",
    ),
    prompts(
        "p.jsonl",
        b'{"prompt": "a"}\n{"prompt": "\xed\xa0\xbd"}\n',
        "p.jsonl:2: byte 13 is not UTF-8: save the file as UTF-8",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "x": ' + "[" * 64 + "]" * 64 + "}\n",
        "p.jsonl:1: nested more than 64 levels deep",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "x": ' + "[" * 300 + "]" * 300 + "}\n",
        "p.jsonl:1: nested more than 64 levels deep",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "x": ' + "[" * 100_000 + "\n",
        "p.jsonl:1: nested more than 64 levels deep",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "seed": "7"}\n{"prompt": "a", "seed": true}\n',
        'p.jsonl:1: seed: must be a whole number, not "7"\np.jsonl:2: seed: must be a whole number, not true',
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "id": []}\n{"prompt": "a", "id": ""}\n',
        "p.jsonl:1: id: must be text or a whole number, not []\np.jsonl:2: id: is blank: leave it out, or give the row a name",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "model": "m\\n"}\n',
        "p.jsonl:1: model: holds the control character '\\n': remove it",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "params": {"stream": true}}\n',
        "p.jsonl:1: params: `stream` holds for a whole job: set it in the job's `params`",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "params": {"messages": []}}\n',
        "p.jsonl:1: params: `messages` cannot be set here: use `prompts:` and `template:`",
    ),
    prompts(
        "p.jsonl",
        '{"prompt": "a", "references": ["nowhere.png"]}\n',
        "p.jsonl:1: references: nowhere.png: cannot be read: No such file or directory",
    ),
    prompts("p.jsonl", '{"text": "a"}\n', "p.jsonl:1: txt: is missing", more=", column: txt"),
    prompts(
        "p.jsonl",
        "\n".join(["{}"] * 10_000),
        "\n".join(f"p.jsonl:{n}: prompt: is missing" for n in range(1, 21)),
    ),
    Bad(
        name="standard input",
        files={"job.yaml": 'prompts: {file: "-"}\n'},
        stdin='{"prompt": "a"}\n{"prompt": 3}\n[]\n',
        told='<stdin>:2: prompt: must be text: put 3 in quotes\n<stdin>:3: must be an object, such as {"prompt": "a red fox"}',
    ),
    Bad(
        name="no standard input",
        files={"job.yaml": 'prompts: {file: "-"}\n'},
        told="<stdin>: holds no prompt",
    ),
]

FILES = [
    job(
        "prompts: {file: nowhere.txt}\n",
        "nowhere.txt: cannot read the prompts: No such file or directory",
    ),
    job(
        "prompts: {file: nowhere/p.csv}\n",
        "nowhere/p.csv: cannot read the prompts: No such file or directory",
    ),
    job(
        "prompts: {file: job.yaml/p.csv}\n",
        "job.yaml/p.csv: cannot read the prompts: Not a directory",
    ),
    beside(
        {"d.txt/x": ""},
        "prompts: {file: d.txt}\n",
        "d.txt: cannot read the prompts: Is a directory",
    ),
    job(
        f"prompts: {{file: {'x' * 300}.txt}}\n",
        f"{'x' * 300}.txt: cannot read the prompts: File name too long",
    ),
    prompts(
        "p.txt", Link("p.txt"), "p.txt: cannot read the prompts: Too many levels of symbolic links"
    ),
    prompts(
        "p.txt", Link("nowhere.txt"), "p.txt: cannot read the prompts: No such file or directory"
    ),
    prompts("p.txt", Link("/dev/null"), "p.txt: holds no prompt"),
    prompts("p.txt", Link("/dev/zero"), "p.txt:1: the line is longer than 4,194,304 bytes"),
    prompts("p.jsonl", Link("/dev/zero"), "p.jsonl:1: the line is longer than 4,194,304 bytes"),
    prompts("p.csv", Link("/dev/zero"), "p.csv:1: the line is longer than 4,194,304 bytes"),
    prompts("p.txt", Link("/proc/self/mem"), "p.txt: cannot read the prompts: Input/output error"),
]

PROFILES = [
    profile("", "p.yaml:1:1: the file is empty"),
    profile(
        "- a\n",
        "p.yaml:1:1: must be a mapping of settings, such as `base_url: https://api.example.com/v1`",
    ),
    profile(
        "base_url: [\n",
        "p.yaml:2:1: not YAML: while parsing a flow node did not find expected node content",
    ),
    profile("{}\n", "p.yaml:1:1: base_url: is missing: where is the API?"),
    profile("model: m\n", "p.yaml:1:1: base_url: is missing: where is the API?"),
    profile("base_url: 3\n", "p.yaml:1:1: base_url: must be text: put 3 in quotes"),
    profile(
        "base_url: ''\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: api.knox.chat/v1\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: ftp://x.test/v1\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: file:///etc/passwd\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: https://\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: https://x.test:99999/v1\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: https://x.test:0/v1\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: https://[::1/v1\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: https://x.test/v1?key=a\n",
        "p.yaml:1:1: base_url: must end with the path: leave out what follows `?` or `#`",
    ),
    profile(
        "base_url: https://x.test/v1#a\n",
        "p.yaml:1:1: base_url: must end with the path: leave out what follows `?` or `#`",
    ),
    profile(
        "base_url: https://me:secret@x.test/v1\n",
        "p.yaml:1:1: base_url: must not hold a user or password: a key comes in by `api_key_env`",
    ),
    profile(
        "base_url: https://127.0.0.1@x.test/v1\n",
        "p.yaml:1:1: base_url: must not hold a user or password: a key comes in by `api_key_env`",
    ),
    profile(
        "base_url: 'https://x.test /v1'\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        'base_url: "https://x.test/\\r\\nHost: y.test"\n',
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: 'https://x.test\\@127.0.0.1/'\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: https://x.t\u0435st/v1\n",
        "p.yaml:1:1: base_url: must be an address such as https://api.example.com/v1",
    ),
    profile(
        "base_url: http://x.test/v1\n",
        "p.yaml:1:1: base_url: is plain http to another machine: use https, or add `allow_http: true` (no key is sent there)",
    ),
    profile(
        "base_url: http://localhost.x.test/v1\n",
        "p.yaml:1:1: base_url: is plain http to another machine: use https, or add `allow_http: true` (no key is sent there)",
    ),
    profile(
        "base_url: http://127.0.0.1.x.test/v1\n",
        "p.yaml:1:1: base_url: is plain http to another machine: use https, or add `allow_http: true` (no key is sent there)",
    ),
    profile(
        "base_url: http://2130706433/v1\n",
        "p.yaml:1:1: base_url: is plain http to another machine: use https, or add `allow_http: true` (no key is sent there)",
    ),
    profile(
        "base_url: http://10.0.0.1/v1\nallow_http: 'yes'\n",
        'p.yaml:1:1: base_url: is plain http to another machine: use https, or add `allow_http: true` (no key is sent there)\np.yaml:2:1: allow_http: must be true or false, not "yes"',
    ),
    profile(
        PROVIDER + "dialect: chats\n",
        'p.yaml:3:1: dialect: must be chat or images or openrouter-images, not "chats" (did you mean `chat`?)',
    ),
    profile(
        PROVIDER + "dialect: 3\n",
        "p.yaml:3:1: dialect: must be chat or images or openrouter-images, not 3",
    ),
    profile(
        PROVIDER + "dialect: openai\n",
        'p.yaml:3:1: dialect: must be chat or images or openrouter-images, not "openai"',
    ),
    profile(
        PROVIDER + "server: vllm\n",
        'p.yaml:3:1: server: must be vllm-omni, not "vllm" (did you mean `vllm-omni`?)',
    ),
    profile(
        PROVIDER + "dialect: images\nserver: vllm-omni\n",
        "p.yaml:4:1: server: says how chat requests look, and `dialect` is images",
    ),
    profile(
        PROVIDER + "api_key: sk-123\n",
        "p.yaml:3:1: api_key: unknown key (did you mean `api_key_env`?)",
    ),
    profile(
        PROVIDER + "api_key_env: sk-or-v1-0123456789\n",
        "p.yaml:3:1: api_key_env: must be the name of an environment variable, such as KNOXCHAT_API_KEY, never the key",
    ),
    profile(
        PROVIDER + "api_key_env: ${KNOXCHAT_API_KEY}\n",
        "p.yaml:3:1: api_key_env: must be the name of an environment variable, such as KNOXCHAT_API_KEY, never the key",
    ),
    profile(
        PROVIDER + "api_key_env: ''\n",
        "p.yaml:3:1: api_key_env: must be the name of an environment variable, such as KNOXCHAT_API_KEY, never the key",
    ),
    profile(
        PROVIDER + "api_key_env: [3]\n", "p.yaml:3:15: api_key_env.0: must be text: put 3 in quotes"
    ),
    profile(PROVIDER + "api_key_env: []\n", "p.yaml:3:1: api_key_env: must not be empty"),
    profile(
        PROVIDER + "api_key_env: [A, sk-or-v1-0123456789]\n",
        "p.yaml:3:18: api_key_env.1: must be the name of an environment variable, such as KNOXCHAT_API_KEY, never the key",
    ),
    profile(PROVIDER + "hedge: 1\n", "p.yaml:3:1: hedge: must be true or false, not 1"),
    profile(
        PROVIDER + "hedge: sometimes\n", 'p.yaml:3:1: hedge: must be true or false, not "sometimes"'
    ),
    profile(
        PROVIDER + "api_key_env: A\napi_key_file: b\n",
        "p.yaml:4:1: api_key_file: the key comes from one place: this or `api_key_env`",
    ),
    profile(
        PROVIDER + 'api_key_file: "a\\0b"\n',
        "p.yaml:3:1: api_key_file: holds the control character '\\x00': remove it",
    ),
    profile(
        PROVIDER + "headers: {Authorization: Bearer sk-123}\n",
        "p.yaml:3:1: headers: `Authorization` may carry a key, and a key comes in by `api_key_env` only",
    ),
    profile(
        PROVIDER + "headers: {X-Api-Key: sk-123}\n",
        "p.yaml:3:1: headers: `X-Api-Key` may carry a key, and a key comes in by `api_key_env` only",
    ),
    profile(
        PROVIDER + "headers: {Cookie: a=b}\n",
        "p.yaml:3:1: headers: `Cookie` may carry a key, and a key comes in by `api_key_env` only",
    ),
    profile(
        PROVIDER + "headers: {Host: x.test}\n",
        "p.yaml:3:1: headers: `Host` is set for every request already: leave it out",
    ),
    profile(
        PROVIDER + "headers: {Content-Length: '3'}\n",
        "p.yaml:3:1: headers: `Content-Length` is set for every request already: leave it out",
    ),
    profile(
        PROVIDER + 'headers: {X-A: "b\\r\\nX-C: d"}\n',
        "p.yaml:3:1: headers: the value of `X-A` must be one line of printable ASCII",
    ),
    profile(
        PROVIDER + 'headers: {"X-A\\r\\nX-B": c}\n',
        'p.yaml:3:1: headers: "X-A\\r\\nX-B" is no name of a header',
    ),
    profile(PROVIDER + "headers: {X A: b}\n", 'p.yaml:3:1: headers: "X A" is no name of a header'),
    profile(
        PROVIDER + "headers: {X-A: ü}\n",
        "p.yaml:3:1: headers: the value of `X-A` must be one line of printable ASCII",
    ),
    profile(
        PROVIDER + "headers: {X-A: 3}\n", "p.yaml:3:11: headers.X-A: must be text: put 3 in quotes"
    ),
    profile(
        PROVIDER + "headers: {X-A: }\n", "p.yaml:3:11: headers.X-A: must be text, and is empty"
    ),
    profile(
        PROVIDER + "headers: [X-A]\n",
        'p.yaml:3:1: headers: must be a mapping of keys to values, not ["X-A"]',
    ),
    profile(PROVIDER + "headers: {'': b}\n", 'p.yaml:3:1: headers: "" is no name of a header'),
    profile(
        PROVIDER + "params: {model: x}\n",
        "p.yaml:3:1: params: `model` cannot be set here: use `model:` of the job, or of a row",
    ),
    profile(
        PROVIDER + "params: [x]\n",
        'p.yaml:3:1: params: must be a mapping of keys to values, not ["x"]',
    ),
    profile(
        PROVIDER + "limits: {concurrency: -1}\n",
        "p.yaml:3:10: limits.concurrency: must be at least 1, not -1",
    ),
    profile(
        PROVIDER + "limits: {concurency: 1}\n",
        "p.yaml:3:10: limits.concurency: unknown key (did you mean `concurrency`?)",
    ),
    profile(
        PROVIDER + "prices: {m: 0.04}\n",
        "p.yaml:3:10: prices.m: must be a mapping of keys to values, not 0.04",
    ),
    profile(
        PROVIDER + "prices: {m: {image: -1}}\n",
        "p.yaml:3:14: prices.m.image: must be at least 0, not -1",
    ),
    profile(
        PROVIDER + "prices: {m: {image: free}}\n",
        'p.yaml:3:14: prices.m.image: must be a number, not "free"',
    ),
    profile(
        PROVIDER + "prices: {m: {image: .nan}}\n",
        "p.yaml:3:14: prices.m.image: .nan is no number to count with",
    ),
    profile(PROVIDER + "max_body: 0\n", "p.yaml:3:1: max_body: must be at least 1, not 0"),
    profile(
        PROVIDER + "max_body: lots\n",
        'p.yaml:3:1: max_body: must be a number of bytes, such as 128MiB or 64kB, not "lots"',
    ),
    profile(
        PROVIDER + "max_body: -5MB\n",
        'p.yaml:3:1: max_body: must be a number of bytes, such as 128MiB or 64kB, not "-5MB"',
    ),
    profile(PROVIDER + "max_body: 1.5\n", "p.yaml:3:1: max_body: must be a whole number, not 1.5"),
    profile(
        PROVIDER + "max_body: true\n", "p.yaml:3:1: max_body: must be a whole number, not true"
    ),
    profile(
        PROVIDER + "remote_images: 1\n", "p.yaml:3:1: remote_images: must be true or false, not 1"
    ),
    profile(PROVIDER + "svg: 'true'\n", 'p.yaml:3:1: svg: must be true or false, not "true"'),
    profile(PROVIDER + "stream: sse\n", 'p.yaml:3:1: stream: must be true or false, not "sse"'),
    profile(
        PROVIDER + "model: [a]\n", "p.yaml:3:1: model: is given twice, first in line 2: keep one"
    ),
    profile(
        PROVIDER + "url: https://x.test\n",
        "p.yaml:3:1: url: unknown key: " + KNOWN_OF_PROFILES,
    ),
    profile(
        PROVIDER + "max_bodies: 3\n",
        "p.yaml:3:1: max_bodies: unknown key (did you mean `max_body`?)",
    ),
    profile(PROVIDER + "idempotency_header: 3\n", HEADER, begins=True),
    profile(PROVIDER + 'idempotency_header: "X-A\\r\\nX-B"\n', HEADER, begins=True),
    profile(PROVIDER + "idempotency_header: X A\n", HEADER, begins=True),
    profile(PROVIDER + "idempotency_header: Authorization\n", HEADER, begins=True),
    profile(
        PROVIDER + "samples: 3\n",
        "p.yaml:3:1: samples: unknown key: " + KNOWN_OF_PROFILES,
    ),
    profile(
        PROVIDER + "prompts: [a]\n", "p.yaml:3:1: prompts: unknown key (did you mean `params`?)"
    ),
    profile(
        PROVIDER + "model: x\n", "p.yaml:3:1: model: is given twice, first in line 2: keep one"
    ),
    profile(
        PROVIDER + "simulator: {}\n",
        "p.yaml:1:1: base_url: `simulator` is an address of its own: leave this out",
    ),
    profile(
        "simulator: {latncy_s: 3}\n",
        "p.yaml:1:13: simulator.latncy_s: unknown key (did you mean `latency_s`?)",
    ),
    profile("simulator: {latency_s: -1}\n", "p.yaml:1:13: simulator.latency_s: must be 0 or more"),
    profile(
        "simulator: {latency_s: slow}\n",
        'p.yaml:1:13: simulator.latency_s: must be a number, not "slow"',
    ),
    profile(
        "simulator: {latency_s: .inf}\n",
        "p.yaml:1:13: simulator.latency_s: .inf is no number to count with",
    ),
    profile(
        "simulator: {image_size: 9x99999}\n",
        "p.yaml:1:13: simulator.image_size: must read like 512x512, each edge at most 8192",
    ),
    profile(
        "simulator: {faults: {server_eror: 1}}\n",
        "p.yaml:1:22: simulator.faults.server_eror: there is no fault 'server_eror'; did you mean 'server_error'?",
    ),
    profile(
        "simulator: {faults: {refused: 2}}\n",
        "p.yaml:1:13: simulator.faults: the shares add up to more than 1\np.yaml:1:22: simulator.faults.refused: must be a share from 0 to 1",
    ),
    profile(
        "simulator: {faults: {refused: 0.7, empty: 0.7}}\n",
        "p.yaml:1:13: simulator.faults: the shares add up to more than 1",
    ),
    profile(
        "simulator: {rules: [{rate: 1}]}\n", "p.yaml:1:21: simulator.rules.0.fault: is missing"
    ),
    profile("simulator: {rules: [{fault: x}]}\n", NO_FAULT, begins=True),
    profile(
        "simulator: {images_per_reply: 0}\n",
        "p.yaml:1:13: simulator.images_per_reply: must be from 1 to 16",
    ),
    profile(
        "base_url: https://x.test\n",
        "job.yaml:1:1: model: is missing: neither the job nor its profile names one",
        code=65,
    ),
    profile(
        "base_url: http://x.test\n",
        "job.yaml:3:1: sampels: unknown key (did you mean `samples`?)\np.yaml:1:1: base_url: is plain http to another machine: use https, or add `allow_http: true` (no key is sent there)",
        more="sampels: 3\n",
        code=65,
    ),
    profile(
        PROVIDER + "#" * 1024**2,
        "p.yaml: larger than 1,048,576 bytes: keep long lists in their own file",
    ),
    profile(bomb(60), "p.yaml:6:10: aliases repeat more than 100,000 values: write them out"),
    profile(flow(100_000), "p.yaml:1:73: nested more than 64 levels deep"),
    profile(
        "!!python/name:os.system x\n",
        "p.yaml:1:1: the tag `!!python/name:os.system` is not read: remove it",
    ),
    profile(b"base_url: \xff\n", "p.yaml:1: not UTF-8: save the file as UTF-8"),
]

PROVIDERS = [
    inline(
        "knoxx",
        "job.yaml:2:1: provider: unknown provider `knoxx` (did you mean `knox`?): shipped are knox, local, openai-images, openrouter, simulator; a profile of your own is named by its path, ./knoxx.yaml",
    ),
    inline(
        "evil",
        "job.yaml:2:1: provider: unknown provider `evil`: shipped are knox, local, openai-images, openrouter, simulator; a profile of your own is named by its path, ./evil.yaml",
    ),
    inline(
        "./nowhere.yaml",
        "job.yaml:2:1: provider: cannot read the profile nowhere.yaml: No such file or directory",
    ),
    inline(
        "nowhere.yaml",
        "job.yaml:2:1: provider: cannot read the profile nowhere.yaml: No such file or directory",
    ),
    inline("./", "job.yaml:2:1: provider: cannot read the profile .: Is a directory"),
    inline(
        "/dev/zero", "/dev/zero: larger than 1,048,576 bytes: keep long lists in their own file"
    ),
    beside(
        {"../outside.yaml": "root:x:0:0:root"},
        f"{GOOD}provider: ../outside.yaml\n",
        "../outside.yaml:1:1: must be a mapping of settings, such as `base_url: https://api.example.com/v1`; a space follows the `:` of a key",
        code=78,
        environ={},
    ),
    inline(
        "https://x.test/v1",
        "job.yaml:2:1: provider: `https://x.test/v1` is an address: name a profile file that holds `base_url: https://x.test/v1`",
    ),
    inline(
        "3",
        "job.yaml:2:1: provider: must be a name, a path to a profile, a profile, or a list of them",
        code=65,
    ),
    inline("''", "job.yaml:2:1: provider: is blank", code=65),
    inline(
        "~",
        "job.yaml:2:1: provider: must be a name, a path to a profile, a profile, or a list of them",
        code=65,
    ),
    inline(
        "[knox, knoxx]",
        "job.yaml:2:18: provider: unknown provider `knoxx` (did you mean `knox`?): shipped are knox, local, openai-images, openrouter, simulator; a profile of your own is named by its path, ./knoxx.yaml",
    ),
    inline(
        "[knox, 3]",
        "job.yaml:2:18: provider.1: must be a name, a path to a profile, {profile: NAME, weight: 2}, or a profile",
    ),
    inline(
        "[[knox]]",
        "job.yaml:2:12: provider.0: must be a name, a path to a profile, {profile: NAME, weight: 2}, or a profile",
    ),
    inline("['', knox]", "job.yaml:2:12: provider.0: is blank"),
    inline(
        "[./nowhere.yaml]",
        "job.yaml:2:12: provider: cannot read the profile nowhere.yaml: No such file or directory",
    ),
    inline(
        "[knox, {base_url: 'https://x.test', api_key_env: HOME}]",
        "job.yaml:2:47: provider.1.api_key_env: a job file can name a key for this machine only: put it in a profile file and name that: `provider: ./my-provider.yaml`",
    ),
    inline(
        "[knox, {base_url: 'http://x.test'}]",
        "job.yaml:2:19: provider.1.base_url: is plain http to another machine: use https, or add `allow_http: true` (no key is sent there)",
    ),
    inline(
        "[knox, {base_url: 'https://x.test', dialekt: chat}]",
        "job.yaml:2:47: provider.1.dialekt: unknown key (did you mean `dialect`?)",
    ),
    inline(
        "[{profile: knox, wieght: 2}]",
        "job.yaml:2:28: provider.0.wieght: unknown key (did you mean `weight`?)",
    ),
    inline(
        "[{profile: knox, weight: 0}, {profile: 3}]",
        "job.yaml:2:28: provider.0.weight: must be greater than 0, not 0\njob.yaml:2:41: provider.1.profile: must be text: put 3 in quotes",
    ),
    inline(
        "[{profile: knoxx}]",
        "job.yaml:2:13: provider: unknown provider `knoxx` (did you mean `knox`?): shipped are knox, local, openai-images, openrouter, simulator; a profile of your own is named by its path, ./knoxx.yaml",
    ),
    inline("[]", "job.yaml:2:1: provider: must not be empty", code=65),
    inline("{}", "job.yaml:2:1: provider.base_url: is missing: where is the API?"),
    inline(
        "{base_url: https://x.test, api_key_env: HOME}",
        "job.yaml:2:38: provider.api_key_env: a job file can name a key for this machine only: put it in a profile file and name that: `provider: ./my-provider.yaml`",
    ),
    inline(
        "{base_url: 'http://127.0.0.1.x.test', allow_http: true, api_key_env: HOME}",
        "job.yaml:2:67: provider.api_key_env: a job file can name a key for this machine only: put it in a profile file and name that: `provider: ./my-provider.yaml`",
    ),
    inline(
        "{base_url: 'https://localhost@x.test', api_key_env: HOME}",
        "job.yaml:2:12: provider.base_url: must not hold a user or password: a key comes in by `api_key_env`\njob.yaml:2:50: provider.api_key_env: a job file can name a key for this machine only: put it in a profile file and name that: `provider: ./my-provider.yaml`",
    ),
    inline(
        "{base_url: 'https://x.test#@127.0.0.1', api_key_env: HOME}",
        "job.yaml:2:12: provider.base_url: must end with the path: leave out what follows `?` or `#`\njob.yaml:2:51: provider.api_key_env: a job file can name a key for this machine only: put it in a profile file and name that: `provider: ./my-provider.yaml`",
    ),
    inline(
        "{base_url: 'https://x.test', api_key_file: ~/.ssh/id_rsa}",
        "job.yaml:2:40: provider.api_key_file: a job file cannot name a key's file: put it in a profile file and name that: `provider: ./my-provider.yaml`",
    ),
    inline(
        "{base_url: 'http://127.0.0.1:1', api_key_file: /etc/passwd}",
        "job.yaml:2:44: provider.api_key_file: a job file cannot name a key's file: put it in a profile file and name that: `provider: ./my-provider.yaml`",
    ),
    inline(
        "{base_url: 'https://x.test', api_key: sk-123}",
        "job.yaml:2:40: provider.api_key: unknown key (did you mean `api_key_env`?)",
    ),
    inline(
        "{base_url: 'https://x.test', headers: {Authorization: Bearer x}}",
        "job.yaml:2:40: provider.headers: `Authorization` may carry a key, and a key comes in by `api_key_env` only",
    ),
    inline(
        "{simulator: {api_key: sk-123}}",
        "job.yaml:2:24: provider.simulator.api_key: a job file holds no key: put it in a profile file and name that: `provider: ./my-provider.yaml`",
    ),
    inline(
        "{simulator: {api_key: sk-123}, base_url: 'https://x.test'}",
        "job.yaml:2:24: provider.simulator.api_key: a job file holds no key: put it in a profile file and name that: `provider: ./my-provider.yaml`\njob.yaml:2:42: provider.base_url: `simulator` is an address of its own: leave this out",
    ),
    inline(
        "{base_url: 'https://x.test', dialekt: chat}",
        "job.yaml:2:40: provider.dialekt: unknown key (did you mean `dialect`?)",
    ),
    inline(
        "knox\nsampels: 3", "job.yaml:3:1: sampels: unknown key (did you mean `samples`?)", code=65
    ),
    beside(
        {"configs/knoxx.yaml": PROVIDER},
        f"{GOOD}provider: knoxx\n",
        "job.yaml:2:1: provider: unknown provider `knoxx` (did you mean `knox`?): shipped are knox, local, openai-images, openrouter, simulator; a profile of your own is named by its path, ./knoxx.yaml",
        code=78,
        environ={},
    ),
    beside(
        {"configs/knox.yaml": PROVIDER, "knox.yaml": PROVIDER, "knox/x": ""},
        f"{GOOD}provider: knox\n",
        "imagebatch: no key for knox, so nothing was sent: run `export KNOXCHAT_API_KEY=…` (named by `api_key_env` in {us}/configs/knox.yaml)",
        code=77,
        environ={},
    ),
    beside(
        {"d.yaml/x": ""},
        f"{GOOD}provider: ./d.yaml\n",
        "job.yaml:2:1: provider: cannot read the profile d.yaml: Is a directory",
        code=78,
        environ={},
    ),
    beside(
        {"p.yaml": Link("p.yaml")},
        f"{GOOD}provider: p.yaml\n",
        "job.yaml:2:1: provider: cannot read the profile p.yaml: Too many levels of symbolic links",
        code=78,
        environ={},
    ),
    beside(
        {"p.yaml": PROVIDER + "api_key_env: NO_SUCH_KEY\n"},
        f"{GOOD}provider: p.yaml\n",
        "imagebatch: no key for p, so nothing was sent: run `export NO_SUCH_KEY=…` (named by `api_key_env` in p.yaml)",
        code=77,
        environ={},
    ),
    beside(
        {"p.yaml": PROVIDER + "api_key_env: TWO_LINES\n"},
        f"{GOOD}provider: p.yaml\n",
        "imagebatch: the key for p cannot be one: its character 7 is a space, a line break, a control character or not ASCII; copy it again and run `export TWO_LINES=…` (named by `api_key_env` in p.yaml)",
        code=77,
        environ={"TWO_LINES": "sk-123\r\nX-Evil: 1"},
    ),
    beside(
        {"p.yaml": PROVIDER + "api_key_file: nowhere\n"},
        f"{GOOD}provider: p.yaml\n",
        "imagebatch: no key for p, so nothing was sent: put the key into nowhere (named by `api_key_file` in p.yaml)",
        code=77,
        environ={},
    ),
    job(
        GOOD,
        "IMAGEBATCH_PROVIDER=knoxx: provider: unknown provider `knoxx` (did you mean `knox`?): shipped are knox, local, openai-images, openrouter, simulator; a profile of your own is named by its path, ./knoxx.yaml",
        code=78,
        environ={"IMAGEBATCH_PROVIDER": "knoxx"},
    ),
    job(
        GOOD,
        "IMAGEBATCH_PROVIDER=./nowhere.yaml: provider: cannot read the profile nowhere.yaml: No such file or directory",
        code=78,
        environ={"IMAGEBATCH_PROVIDER": "./nowhere.yaml"},
    ),
]

REFERENCES = [
    job(
        GOOD + "references: [nowhere.png]\n",
        "job.yaml:2:14: references.0: nowhere.png: cannot be read: No such file or directory",
    ),
    job(
        GOOD + "references: [../nowhere.png]\n",
        "job.yaml:2:14: references.0: ../nowhere.png: cannot be read: No such file or directory",
    ),
    beside(
        {"d/x": ""}, GOOD + "references: [d]\n", "job.yaml:2:14: references.0: d: is not a file"
    ),
    beside(
        {"a.png": ""},
        GOOD + "references: [a.png]\n",
        "job.yaml:2:14: references.0: a.png: is no image: a PNG, JPEG, WebP or GIF can be sent",
    ),
    beside(
        {"a.png": "<svg/>"},
        GOOD + "references: [a.png]\n",
        "job.yaml:2:14: references.0: a.png: is image/svg+xml: a PNG, JPEG, WebP or GIF can be sent",
    ),
    beside(
        {"a.png": b"\x89PNG\r\n\x1a\n" + b"x" * 20 * 1024**2},
        GOOD + "references: a.png\n",
        "job.yaml:2:1: references.0: a.png: is 20,971,528 bytes long: at most 20,971,520 are sent",
    ),
    job(
        GOOD + "references: [/etc/passwd]\n",
        "job.yaml:2:14: references.0: /etc/passwd: is no image: a PNG, JPEG, WebP or GIF can be sent",
    ),
    job(
        GOOD + "references: [/dev/zero]\n", "job.yaml:2:14: references.0: /dev/zero: is not a file"
    ),
    job(
        GOOD + "references: [job.yaml/a.png]\n",
        "job.yaml:2:14: references.0: job.yaml/a.png: cannot be read: Not a directory",
    ),
    job(
        GOOD + "references: ['http://x.test/a.png']\n",
        "job.yaml:2:14: references.0: http://x.test/a.png: must be the path of an image, or an https:// address",
    ),
    job(
        GOOD + "references: ['https://me:key@x.test/a.png']\n",
        "job.yaml:2:14: references.0: an address must not hold a user or password: save the image as a file",
    ),
    job(
        GOOD + "references: ['https://']\n",
        "job.yaml:2:14: references.0: https://: is no address of an image",
    ),
    job(
        GOOD + "references: ['file:///etc/passwd']\n",
        "job.yaml:2:14: references.0: file:///etc/passwd: must be the path of an image, or an https:// address",
    ),
    job(
        GOOD + "references: ['data:image/png;base64,AAAA']\n",
        "job.yaml:2:14: references.0: a data: URL is not read here: name the path of an image, or an https:// address",
    ),
    job(
        GOOD + "references: ['{{photo}}']\n",
        "job.yaml:2:14: references.0: unknown name `{{photo}}`: there are prompt, sample, index, row, model, aspect_ratio, image_size, seed, keep",
    ),
    job(
        GOOD + "references: ['{{photo']\n",
        "job.yaml:2:14: references.0: character 1: `{{` is not closed: write a name as `{{name}}`",
    ),
    job(
        GOOD + 'references: ["a\\0.png"]\n',
        "job.yaml:2:14: references.0: holds the control character '\\x00': remove it",
    ),
    job(
        f"{GOOD}references: [{'x' * 5000}.png]\n",
        "job.yaml:2:14: references.0: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… cannot be read: File name too long",
    ),
    job(
        "prompts: [{prompt: a, photo: ''}]\nreferences: ['{{photo}}']\n",
        "job.yaml:1: references: `{{photo}}` is blank here: name an image, or give no references",
    ),
    job(
        'prompts: [{prompt: a, photo: "x\\0y"}]\nreferences: ["{{photo}}"]\n',
        "job.yaml:1: references: x\\x00y: is no path",
    ),
    job(
        "prompts: [{prompt: a, photo: x.png}, b]\nreferences: ['{{photo}}']\n",
        "job.yaml:1: references: x.png: cannot be read: No such file or directory\njob.yaml:1: photo: is missing here, and the job's `references` names it",
    ),
    job(
        "prompts: [{prompt: a, references: [x.png]}]\n",
        "job.yaml:1: references: x.png: cannot be read: No such file or directory",
    ),
    beside(
        {"a.png": Link("a.png")},
        GOOD + "references: a.png\n",
        "job.yaml:2:1: references.0: a.png: cannot be read: Too many levels of symbolic links",
    ),
]

COMMANDS = [
    words("run", told="imagebatch: the following arguments are required: JOB.yaml"),
    words("run", "job.yaml", "other.yaml", told="imagebatch: unrecognized arguments: other.yaml"),
    words(
        "run",
        "nowhere.yaml",
        told="nowhere.yaml: cannot read the job: No such file or directory",
        code=65,
    ),
    words(
        "run", ".", told=".: cannot read the job: it is a folder (did you mean job.yaml?)", code=65
    ),
    words(
        "run",
        "x" * 5000,
        told=f"{'x' * 5000}: cannot read the job: File name too long",
        code=65,
    ),
    words("run", "/dev/null", told="/dev/null:1:1: the file is empty", code=65),
    words(
        "run",
        "/dev/zero",
        told="/dev/zero: larger than 1,048,576 bytes: keep long lists in their own file",
        code=65,
    ),
    words("run", "job.yaml/x", told="job.yaml/x: cannot read the job: Not a directory", code=65),
    words(
        "run",
        "loop.yaml",
        told="loop.yaml: cannot read the job: Too many levels of symbolic links",
        code=65,
        files={"loop.yaml": Link("loop.yaml")},
    ),
    words(
        "--limit",
        "0",
        told="imagebatch: argument --limit: '0' is no count; write a whole number from 1 up",
    ),
    words(
        "--limit",
        "-1",
        told="imagebatch: argument --limit: '-1' is no count; write a whole number from 1 up",
    ),
    words(
        "--limit",
        "1.5",
        told="imagebatch: argument --limit: '1.5' is no count; write a whole number from 1 up",
    ),
    words(
        "--limit",
        "many",
        told="imagebatch: argument --limit: 'many' is no count; write a whole number from 1 up",
    ),
    words(
        "--limit",
        "٣",
        told="imagebatch: argument --limit: '٣' is no count; write a whole number from 1 up",
    ),
    words(
        "--limit",
        "9" * 5000,
        told="imagebatch: argument --limit: '9999999999999999999999999999999999999999' is no count; write a whole number from 1 up",
    ),
    words("--limit", told="imagebatch: argument --limit: expected one argument"),
    words(
        "--wait",
        "-1",
        told="imagebatch: argument --wait: '-1' is no time; write 90, 90s, 30m, 2h or 1h30m",
    ),
    words(
        "--wait",
        "forever",
        told="imagebatch: argument --wait: 'forever' is no time; write 90, 90s, 30m, 2h or 1h30m",
    ),
    words(
        "--max-runtime",
        "2 hours",
        told="imagebatch: argument --max-runtime: '2 hours' is no time; write 90, 90s, 30m, 2h or 1h30m",
    ),
    words(
        "--max-runtime",
        "nan",
        told="imagebatch: argument --max-runtime: 'nan' is no time; write 90, 90s, 30m, 2h or 1h30m",
    ),
    words(
        "--max-usd",
        "-1",
        told="imagebatch: argument --max-usd: '-1' is no amount; write US dollars: 5 or 2.50",
    ),
    words(
        "--max-usd",
        "nan",
        told="imagebatch: argument --max-usd: 'nan' is no amount; write US dollars: 5 or 2.50",
    ),
    words(
        "--max-usd",
        "many",
        told="imagebatch: argument --max-usd: 'many' is no amount; write US dollars: 5 or 2.50",
    ),
    words(
        "--max-usd",
        "1e3",
        told="imagebatch: argument --max-usd: '1e3' is no amount; write US dollars: 5 or 2.50",
    ),
    words(
        "--max-usd",
        "9" * 400,
        told="imagebatch: argument --max-usd: '9999999999999999999999999999999999999999' is no amount; write US dollars: 5 or 2.50",
    ),
    words(
        "--max-runtime",
        "9" * 400,
        told="imagebatch: argument --max-runtime: '9999999999999999999999999999999999999999' is no time; write 90, 90s, 30m, 2h or 1h30m",
    ),
    words(
        "--max-runtime",
        "٣m",
        told="imagebatch: argument --max-runtime: '٣m' is no time; write 90, 90s, 30m, 2h or 1h30m",
    ),
    words(
        "--color",
        "pink",
        told="imagebatch: argument --color: invalid choice: 'pink' (choose from 'auto', 'always', 'never')",
    ),
    words("--bogus", told="imagebatch: unrecognized arguments: --bogus"),
    words("--lim", "3", told="imagebatch: unrecognized arguments: --lim 3"),
    words(
        "--set",
        "samples",
        told="imagebatch: --set samples: write it as key.path=value, such as retry.attempts=3",
    ),
    words(
        "--set",
        "=3",
        told="imagebatch: --set =3: write it as key.path=value, such as retry.attempts=3",
    ),
    words(
        "--set",
        "retry..attempts=3",
        told="imagebatch: --set retry..attempts=3: write it as key.path=value, such as retry.attempts=3",
    ),
    words(
        "--set",
        "samples=many",
        told='--set samples=many: samples: must be a whole number, not "many"',
        code=65,
    ),
    words(
        "--set", "samples=0", told="--set samples=0: samples: must be at least 1, not 0", code=65
    ),
    words(
        "--set",
        "samples=010",
        told="--set samples=010: samples: `010` is read in different ways: leave out the zeros in front, or quote it",
        code=65,
    ),
    words(
        "--set",
        "samples=.nan",
        told="--set samples=.nan: samples: .nan is no number to count with",
        code=65,
    ),
    words(
        "--set",
        "samples=[",
        told="--set samples=[: samples: not YAML: while parsing a flow node did not find expected node content",
        code=65,
    ),
    words(
        "--set",
        "samples=!!int 3",
        told="--set samples=!!int 3: samples: the tag `!!int` is not read: remove it",
        code=65,
    ),
    words(
        "--set",
        "samples=1\n---\n2",
        told="--set samples=1\\n---\\n2: samples: a second document begins: one file holds one",
        code=65,
    ),
    words(
        "--set",
        "samples=*a",
        told="--set samples=*a: samples: `*a` stands for nothing that is complete above it",
        code=65,
    ),
    words(
        "--set",
        "sampels=3",
        told="--set sampels=3: sampels: unknown key (did you mean `samples`?)",
        code=65,
    ),
    words(
        "--set",
        "retry.atempts=3",
        told="--set retry.atempts=3: retry.atempts: unknown key (did you mean `attempts`?)",
        code=65,
    ),
    words(
        "--set",
        "retry=3",
        told="--set retry=3: retry: must be a mapping of keys to values, not 3",
        code=65,
    ),
    words("--set", "name.x=3", told='--set name.x=3: name: must be text, not {"x": 3}', code=65),
    words(
        "--set",
        "prompts.0=a",
        told="--set prompts.0=a: prompts.0: `prompts` holds no keys of its own",
        code=65,
    ),
    words("--set", "prompts=[]", told="--set prompts=[]: prompts: must not be empty", code=65),
    words(
        "--set",
        "name=no",
        told="--set name=no: name: `no` is read in different ways: put it in quotes, or write false",
        code=65,
    ),
    words(
        "--set",
        "name=../x",
        told='--set name=../x: name: must be one part of a path that is safe everywhere, not "../x": no `/`, no control character, no dot in front, at most 200 bytes',
        code=65,
    ),
    words(
        "--set",
        "output.path=../{{id}}.png",
        told="--set output.path=../{{id}}.png: output.path: a path is relative, stays inside the output folder and ends in a file name: `..` has no place in it",
        code=65,
    ),
    words(
        "--set",
        "a" + ".b" * 5000 + "=1",
        told="--set a.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.…: a.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.…: nested more than 64 levels deep",
        code=65,
    ),
    words(
        "--set",
        "params.x=" + "[" * 65,
        told="--set params.x=[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[: params.x: nested more than 64 levels deep",
        code=65,
    ),
    words(
        "--set",
        "params.x=" + "[" * 10_000,
        told="--set params.x=[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[…: params.x: nested more than 64 levels deep",
        code=65,
    ),
    words(
        "--set",
        "name=a\x1b[31mb",
        told="--set name=a\\x1b[31mb: name: holds the control character '\\x1b': remove it",
        code=65,
    ),
    words(
        "--set",
        "na\x1b[31mme=b",
        told="--set na\\x1b[31mme=b: na\\x1b[31mme: unknown key (did you mean `name`?)",
        code=65,
    ),
    words(
        "--set",
        "name=\udcff",
        told="--set name=\\udcff: name: is not UTF-8, and so no text",
        code=65,
    ),
    words(
        "--set",
        "provider.base_url=https://x.test",
        told="job.yaml:1:1: model: is missing: neither the job nor its profile names one",
        code=65,
        environ={},
    ),
    words(
        "--provider",
        "knoxx",
        told="--provider knoxx: provider: unknown provider `knoxx` (did you mean `knox`?): shipped are knox, local, openai-images, openrouter, simulator; a profile of your own is named by its path, ./knoxx.yaml",
        code=78,
    ),
    words(
        "--provider",
        "",
        told="imagebatch: argument --provider: is blank: say which, or leave the flag out",
    ),
    words(
        "--provider",
        "./nowhere.yaml",
        told="--provider ./nowhere.yaml: provider: cannot read the profile nowhere.yaml: No such file or directory",
        code=78,
    ),
    words(
        "--provider",
        "/",
        told="--provider /: provider: cannot read the profile /: Is a directory",
        code=78,
    ),
    words(
        "--provider",
        "https://x.test/v1",
        told="--provider https://x.test/v1: provider: `https://x.test/v1` is an address: name a profile file that holds `base_url: https://x.test/v1`",
        code=78,
    ),
    words(
        "--provider",
        "there",
        told="--provider there: provider: unknown provider `there`: shipped are knox, local, openai-images, openrouter, simulator; a profile of your own is named by its path, ./there.yaml",
        code=78,
    ),
    words(
        "--out",
        "job.yaml",
        told="imagebatch: {root}/home/job.yaml cannot be used as output folder: Not a directory; choose another with --out, or remove the file that stands in its way",
        code=73,
    ),
    words(
        "--out",
        "job.yaml/x",
        told="imagebatch: {root}/home/job.yaml/x cannot be used as output folder: Not a directory; choose another with --out, or remove the file that stands in its way",
        code=73,
    ),
    words(
        "--out",
        "x" * 300,
        told="imagebatch: …"
        + "x" * 80
        + " cannot be used as output folder: its name is too long; choose another with --out",
        code=73,
    ),
    words(
        "--out",
        "x/" * 2000,
        told="imagebatch: …"
        + "/x" * 40
        + " cannot be used as output folder: its name is too long; choose another with --out",
        code=73,
    ),
    words(
        "--set",
        f"output.dir={'x' * 300}",
        told="imagebatch: …"
        + "x" * 80
        + " cannot be used as output folder: its name is too long; choose another with --out",
        code=73,
    ),
    words(
        "--out", "", told="imagebatch: argument --out: is blank: say which, or leave the flag out"
    ),
    words("plan", "job.yaml", "--wait", "3", told="imagebatch: unrecognized arguments: --wait 3"),
    words(
        "status",
        "nowhere",
        told="imagebatch: nowhere: no output folder there; give the folder a run wrote to",
    ),
    words(
        "status", "", told="imagebatch: argument OUT: is blank: say which, or leave the flag out"
    ),
    words(
        "status", "x" * 5000, told="imagebatch: argument OUT: no folder has a name as long as this"
    ),
    words(
        "verify",
        "job.yaml",
        told="imagebatch: job.yaml: no output folder there; give the folder a run wrote to",
    ),
    words(
        "verify",
        f"a/{'x' * 300}",
        told="imagebatch: argument OUT: no folder has a name as long as this",
    ),
    words(
        "rerun",
        ".",
        told="imagebatch: .: no output folder there: it holds neither manifest.jsonl nor .state/; give the folder a run wrote to",
    ),
    words(
        "rerun", "x/" * 3000, told="imagebatch: argument OUT: no folder has a name as long as this"
    ),
    words(
        "rerun",
        "nowhere",
        "--why",
        "bored",
        told="imagebatch: nowhere: no output folder there; give the folder a run wrote to",
    ),
    words(
        "simulate",
        "--port",
        "x",
        told="imagebatch: argument --port: 'x' is no port; write a whole number",
    ),
    words(
        "simulate",
        "--port",
        "99999999",
        told="imagebatch: port 99999999 does not exist; choose one from 1 to 65535",
    ),
    words(
        "simulate",
        "--profile",
        "knox",
        told="imagebatch: {us}/configs/knox.yaml has no `simulator` section: choose a profile that has one, such as simulator",
    ),
]

CASES = [
    *YAML,
    *ENCODINGS,
    *SURPRISES,
    *TYPES,
    *UNKNOWN,
    *LATER,
    *TEMPLATES,
    *MATRICES,
    *PATHS,
    *MONEY,
    *SECRETS,
    *TEXTS,
    *TABLES,
    *OBJECTS,
    *FILES,
    *PROFILES,
    *PROVIDERS,
    *REFERENCES,
    *COMMANDS,
]
