"""Which limits hold: the tighter of a job and a profile; of a pool those of each and of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.job.profile_spec import LimitsSpec

if TYPE_CHECKING:
    from pipeline.job.job import Chosen, Job


def tighter(job: LimitsSpec, profile: LimitsSpec) -> LimitsSpec:
    """Of every limit that either of the two gives, the lower one."""
    both = (job, profile)
    given = [limits for limits in both if "concurrency" in limits.model_fields_set]
    rates = [r for limits in both if (r := limits.requests_per_minute) is not None]
    images = [r for limits in both if (r := limits.images_per_minute) is not None]
    says_adaptive = job if "adaptive" in job.model_fields_set else profile
    return LimitsSpec(
        concurrency=min((limits.concurrency for limits in given), default=job.concurrency),
        requests_per_minute=min(rates, default=None),
        images_per_minute=min(images, default=None),
        adaptive=says_adaptive.adaptive,
    )


def overall(job: Job) -> LimitsSpec:
    """The limits of all of a job's providers together; as many at once as they take, if unsaid."""
    if not job.others or "concurrency" in job.limits.model_fields_set:
        return job.limits
    most = sum(chosen.profile.limits.concurrency for chosen in job.pool)
    return job.limits.model_copy(update={"concurrency": most})


def own(job: Job, chosen: Chosen) -> LimitsSpec:
    """The limits of one of a job's providers; whether they are felt for is the job's to say."""
    if not job.others:
        return job.limits
    limits = chosen.profile.limits
    says_adaptive = job.limits if "adaptive" in job.limits.model_fields_set else limits
    return limits.model_copy(update={"adaptive": says_adaptive.adaptive})


def per_minute(limits: LimitsSpec) -> float | None:
    """Requests a minute at most, where one brings an image; None where no such limit is told."""
    paces = (limits.requests_per_minute, limits.images_per_minute)
    return min((pace for pace in paces if pace is not None), default=None)


def per_minute_of_all(job: Job) -> float | None:
    """The same for all of a job's providers together."""
    told = [per_minute(own(job, chosen)) for chosen in job.pool]
    together = None if None in told else sum(pace for pace in told if pace is not None)
    both = (per_minute(job.limits), together)
    return min((pace for pace in both if pace is not None), default=None)
