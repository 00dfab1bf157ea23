"""What may stand in a job file and in a provider profile, and what holds where nothing does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from pipeline.core.model import Keep
from pipeline.core.simulation import Simulation
from pipeline.job.checks import (
    Address,
    Bytes,
    Command,
    Count,
    FileName,
    HeaderName,
    Headers,
    Later,
    LaterPool,
    LaterSwitch,
    Name,
    OwnId,
    Params,
    PathText,
    Positive,
    Ratio,
    References,
    RowParams,
    Samples,
    Seed,
    Size,
    TemplateText,
    Variable,
    Word,
    Written,
    is_private,
)

DEFAULT_PATH = "images/{{shard}}/{{index:06}}-{{slug}}-{{id}}.{{ext}}"


class Spec(BaseModel):
    """A mapping of a file: unknown keys are refused, a type is never guessed."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


class LimitsSpec(Spec):
    """How fast requests may leave. Of a job's and a profile's limits the tighter one holds."""

    concurrency: Count = 64
    """The most requests in flight at once."""
    requests_per_minute: Positive | None = None
    """The most requests a minute; null sets none."""
    images_per_minute: Later = None
    """The most images a minute. Not supported yet."""
    adaptive: bool = True
    """Slow down by what the provider answers: a 429 then costs a task no attempt."""


class BudgetSpec(Spec):
    """What an output folder may cost, over all its runs."""

    usd: Annotated[float, Field(ge=0)] | None = None
    """The ceiling, in US dollars: what is in flight and what may have been billed counted in full;
    null sets none."""


class RetrySpec(Spec):
    """How often a task is tried, the first time included."""

    attempts: Count = 5
    """The most tries of a task in one run."""
    max_wait: Positive = 60.0
    """The longest back-off of our own, in seconds; a server's hint is obeyed up to 15 minutes."""
    no_image: Count = 2
    """The most tries that may end without an image in the reply."""
    refused: Count = 1
    """The most tries that may end in a refusal; 1 means no second try."""
    lost: Count = 2
    """The most tries that may be lost on the way, each of which may have been billed."""


class TimeoutsSpec(Spec):
    """How long to wait, in seconds."""

    connect: Positive = 10.0
    """For a connection."""
    idle: Positive = 300.0
    """For the next byte of a reply."""
    total: Positive = 600.0
    """For a whole exchange."""


class StopSpec(Spec):
    """When a run ends by itself, and how long it drains after a signal."""

    failures_in_a_row: Count = 25
    """So many tasks in a row failed by the provider's fault end the run."""
    grace_int: Positive = 60.0
    """Seconds that replies in flight are waited for after Ctrl-C."""
    grace_term: Positive = 8.0
    """Seconds that replies in flight are waited for after SIGTERM."""


class OutputSpec(Spec):
    """Where images go and how they are kept."""

    dir: Word | None = None
    """The output folder; outputs/<name> below the current folder where it is not given."""
    path: PathText = DEFAULT_PATH
    """The path of an image below the output folder, a template."""
    durability: Literal["power", "process"] = "power"
    """What a kept image survives: a power cut, or only the end of the process."""
    verify: Literal["structure", "decode"] = "structure"
    """How an image is checked before it is kept: whole by its structure, or decoded in full."""


class PromptFile(Spec):
    """A file of prompts, read as a stream."""

    file: FileName
    """.txt (a prompt a line), .csv or .tsv (with a header), .jsonl, or "-" for JSON lines on
    standard input. Found from the job file's folder."""
    column: Word = "prompt"
    """The column, or key, that holds the prompt."""
    id: Word | None = None
    """The column that is a row's own id; `id` where there is one."""
    limit: Count | None = None
    """Read so many rows and no more."""
    sample: Later = None
    """A random sample of the rows. Not supported yet."""


class RowSpec(Spec):
    """A prompt with settings of its own; every further key is kept with its image."""

    model_config = ConfigDict(extra="allow")

    id: OwnId = None
    """The row's own id: `{{row}}` in templates and paths."""
    prompt: Written
    """What the image shows."""
    model: Word | None = None
    """Overrides the job's."""
    aspect_ratio: Ratio | None = None
    """Overrides the job's."""
    image_size: Size | None = None
    """Overrides the job's."""
    seed: Seed | None = None
    """Overrides the job's."""
    params: RowParams | None = None
    """Laid over the job's."""
    references: References | None = None
    """Overrides the job's."""
    keep: Literal["all", "first", "last"] | None = None
    """Overrides the job's."""


class MatrixSpec(Spec):
    """Axes by name, each a list of values; every row is made in every combination of them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[list[Any], Field(min_length=1)]]

    exclude: tuple[dict[str, Any], ...] = ()
    """Combinations to leave out: those that have every value named in an entry."""
    include: tuple[dict[str, Any], ...] = ()
    """Values to add to combinations, or combinations to add."""


class PriceSpec(Spec):
    """What a model costs, for estimates only."""

    image: Annotated[float, Field(ge=0)]
    """US dollars an image."""


class ProfileSpec(Spec):
    """A provider: where to ask, how, and how fast."""

    base_url: Address | None = None
    """The address the API's paths are below, such as https://api.example.com/v1."""
    dialect: Literal["chat", "images", "openrouter-images"] = "chat"
    """How images are asked for: chat is /chat/completions with modalities, images is
    /images/generations, openrouter-images is /images."""
    server: Literal["vllm-omni"] | None = None
    """A server that wants chat requests of its own: vllm-omni takes sizes, seed and `params`
    inside `extra_body`, and no modalities."""
    api_key_env: Variable | None = None
    """The environment variable that holds the key."""
    api_key_file: Word | None = None
    """A file whose first line is the key."""
    api_key_command: Command | None = None
    """A command that prints the key as its first line, once a run: words, or text split as a shell
    would. No shell reads it; it runs in the profile's folder, for 30 seconds at most."""
    model: Word | None = None
    """The model of jobs that name none."""
    stream: bool = False
    """Ask for server-sent events instead of one reply."""
    headers: Headers = Field(default_factory=dict)
    """Sent with every request; never a key."""
    params: Params = Field(default_factory=dict)
    """Sent as they are; a job's win."""
    limits: LimitsSpec = LimitsSpec()
    """How fast requests may leave."""
    prices: dict[str, PriceSpec] = Field(default_factory=dict)
    """Prices by model, for estimates; what a reply says it cost wins."""
    max_body: Bytes = 128 * 1024**2
    """The largest reply that is read, such as 128MiB."""
    remote_images: bool = False
    """Follow image addresses in replies: https, to public addresses only; and the API's own."""
    svg: bool = False
    """Accept SVG images, which are text and no pixels."""
    hedge: LaterSwitch = False
    """Send a straggler again. Not supported yet."""
    idempotency_header: HeaderName | None = None
    """A header by which the provider knows a request that it had before, such as Idempotency-Key,
    so that a second try after a lost reply costs nothing. X-OpenRouter-Cache: its own cache."""
    allow_http: bool = False
    """Allow plain http to another machine; no key is sent there."""
    simulator: Simulation | None = None
    """Make this the embedded provider, with these settings."""

    @property
    def sends_key(self) -> bool:
        """Whether a key may travel to this address: by TLS, or not leave the machine."""
        return is_private(self.base_url or "")

    @property
    def key_place(self) -> str | None:
        """The variable, file or program that has the key, None where none is named."""
        program = self.api_key_command[0] if self.api_key_command else None
        return self.api_key_env or self.api_key_file or program


def _kind(value: Any) -> str | None:
    """The tag of a union's member; tags stand in angle brackets and are no keys."""
    if isinstance(value, dict | Spec):
        return "<mapping>"
    return "<text>" if isinstance(value, str) else "<list>" if isinstance(value, list) else None


Prompt = Annotated[
    Annotated[Written, Tag("<text>")] | Annotated[RowSpec, Tag("<mapping>")],
    Discriminator(
        _kind,
        custom_error_type="prompt_type",
        custom_error_message="must be text, or a mapping with a `prompt`",
    ),
]
Prompts = Annotated[
    Annotated[tuple[Prompt, ...], Field(min_length=1), Tag("<list>")]
    | Annotated[PromptFile, Tag("<mapping>")],
    Discriminator(
        _kind,
        custom_error_type="mistake",
        custom_error_message="must be a list of prompts, or a file such as {file: prompts.tsv}",
    ),
]
Provider = Annotated[
    Annotated[Word, Tag("<text>")]
    | Annotated[ProfileSpec, Tag("<mapping>")]
    | Annotated[LaterPool, Tag("<list>"), WithJsonSchema({"type": "array"})],
    Discriminator(
        _kind,
        custom_error_type="mistake",
        custom_error_message="must be a name, a path to a profile, or a profile",
    ),
]


class JobSpec(Spec):
    """An image job: the prompts, and how to ask for their images."""

    name: Name | None = None
    """The job's name, the file's where it is not given; images go to outputs/<name>/."""
    provider: Provider = "simulator"
    """A shipped profile (knox, openrouter, openai-images, local, simulator), a path to one, or
    one written here."""
    model: Word | None = None
    """The model; the profile's where it is not given."""
    prompts: Prompts
    """What to make: a list of prompts, or a file of them."""
    template: TemplateText | None = None
    """The text that is sent, with `{{prompt}}` and every other name filled in."""
    matrix: MatrixSpec | None = None
    """Axes that multiply the prompts."""
    samples: Samples = 1
    """Images wanted of each combination."""
    references: References = Field(default_factory=list)
    """Input images for editing: paths, found from the job file's folder, or https addresses, as
    templates such as `{{photo}}`. They are sent after the text, in this order."""
    aspect_ratio: Ratio | None = None
    """Width to height, such as 16:9."""
    image_size: Size | None = None
    """Such as 1K, 2K, 4K or 1024x768."""
    seed: Seed | None = None
    """The seed; sample k is sent seed + k."""
    params: Params = Field(default_factory=dict)
    """Anything else, sent as it is; `stream: true` asks for server-sent events."""
    keep: Keep = Keep.ALL
    """Which images are kept where one reply carries several."""
    output: OutputSpec = OutputSpec()
    """Where images go and how they are kept."""
    limits: LimitsSpec = LimitsSpec()
    """How fast requests may leave."""
    retry: RetrySpec = RetrySpec()
    """How often a task is tried."""
    timeouts: TimeoutsSpec = TimeoutsSpec()
    """How long to wait."""
    budget: BudgetSpec = BudgetSpec()
    """What the output folder may cost."""
    stop: StopSpec = StopSpec()
    """When a run ends by itself."""
