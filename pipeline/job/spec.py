"""What may stand in a job file, and what holds where nothing does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from pipeline.core.model import Keep
from pipeline.job.checks import (
    Count,
    FileName,
    Later,
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
    Word,
    Written,
)
from pipeline.job.profile_spec import LimitsSpec, ProfileSpec, Spec, kind_of

DEFAULT_PATH = "images/{{shard}}/{{index:06}}-{{slug}}-{{id}}.{{ext}}"


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
    failed_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """End the run once so large a share of the last hundred tasks failed by the provider's fault,
    in a row or not; null never does."""
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


class MemberSpec(Spec):
    """A provider of a pool, by its name or path, and how much of the work it is to get."""

    profile: Word
    """A shipped profile, or a path to one."""
    weight: Positive = 1.0
    """Of two that are free, the one with less in flight for its weight is asked."""


def _kind_of_member(value: Any) -> str | None:
    if isinstance(value, MemberSpec) or (isinstance(value, dict) and "profile" in value):
        return "<member>"
    return None if isinstance(value, list | tuple) else kind_of(value)


Prompt = Annotated[
    Annotated[Written, Tag("<text>")] | Annotated[RowSpec, Tag("<mapping>")],
    Discriminator(
        kind_of,
        custom_error_type="prompt_type",
        custom_error_message="must be text, or a mapping with a `prompt`",
    ),
]
Prompts = Annotated[
    Annotated[tuple[Prompt, ...], Field(min_length=1), Tag("<list>")]
    | Annotated[PromptFile, Tag("<mapping>")],
    Discriminator(
        kind_of,
        custom_error_type="mistake",
        custom_error_message="must be a list of prompts, or a file such as {file: prompts.tsv}",
    ),
]
Member = Annotated[
    Annotated[Word, Tag("<text>")]
    | Annotated[MemberSpec, Tag("<member>")]
    | Annotated[ProfileSpec, Tag("<mapping>")],
    Discriminator(
        _kind_of_member,
        custom_error_type="mistake",
        custom_error_message="must be a name, a path to a profile, {profile: NAME, weight: 2}, or a"
        " profile",
    ),
]
Provider = Annotated[
    Annotated[Word, Tag("<text>")]
    | Annotated[ProfileSpec, Tag("<mapping>")]
    | Annotated[tuple[Member, ...], Field(min_length=1, max_length=64), Tag("<list>")],
    Discriminator(
        kind_of,
        custom_error_type="mistake",
        custom_error_message="must be a name, a path to a profile, a profile, or a list of them",
    ),
]


class JobSpec(Spec):
    """An image job: the prompts, and how to ask for their images."""

    name: Name | None = None
    """The job's name, the file's where it is not given; images go to outputs/<name>/."""
    provider: Provider = "simulator"
    """A shipped profile (knox, openrouter, openai-images, local, simulator), a path to one, one
    written here, or a list of them: a pool."""
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
