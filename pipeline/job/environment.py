"""The only reader of the environment: everything else is handed a mapping."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pipeline.job.checks import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping


def environment() -> Mapping[str, str]:
    """The variables of this process, as they are now."""
    return os.environ


def cache_folder() -> Path | None:
    """Where this user keeps what can be had again, None where there is no such place.

    The XDG base directory specification: ``XDG_CACHE_HOME`` where it is absolute, else
    ``~/.cache``.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / "imagebatch"
    try:
        return Path.home() / ".cache" / "imagebatch"
    except RuntimeError:
        return None


def proxy_for(address: str) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY ask for, None for none.

    What stays on this machine needs none, and a key sent there must not leave it.
    """
    url, proxies = urlsplit(address), getproxies()
    if is_loopback(address) or proxy_bypass(url.hostname or ""):
        return None
    return proxies.get(url.scheme) or proxies.get("all")
