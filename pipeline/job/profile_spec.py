"""What may stand in a provider profile, and what holds where nothing does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from pipeline.core.simulation import Simulation
from pipeline.job.checks import (
    Address,
    Bytes,
    Command,
    Count,
    HeaderName,
    Headers,
    Params,
    Positive,
    Variable,
    Word,
    is_private,
)


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
    images_per_minute: Positive | None = None
    """The most images a minute, however many a reply brings; null sets none."""
    adaptive: bool = True
    """Slow down by what the provider answers: a 429 then costs a task no attempt."""


def kind_of(value: Any) -> str | None:
    """The tag of a union's member; tags stand in angle brackets and are no keys."""
    if isinstance(value, dict | Spec):
        return "<mapping>"
    if isinstance(value, str):
        return "<text>"
    return "<list>" if isinstance(value, list | tuple) else None


KeyVariables = Annotated[
    Annotated[Variable, Tag("<text>")]
    | Annotated[tuple[Variable, ...], Field(min_length=1, max_length=64), Tag("<list>")],
    Discriminator(
        kind_of,
        custom_error_type="mistake",
        custom_error_message="must be the name of an environment variable, or a list of them",
    ),
]


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
    api_key_env: KeyVariables | None = None
    """The environment variable that holds the key; of several keys, each has limits of its own."""
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
    hedge: bool = False
    """Send a straggler once more near the end, and take what comes first: only where a request
    that is cancelled is not billed."""
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
        variable = self.key_variables[0] if self.key_variables else None
        return variable or self.api_key_file or program

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The environment variables that hold keys, one each."""
        named = self.api_key_env
        return (named,) if isinstance(named, str) else named or ()
