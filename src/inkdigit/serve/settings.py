"""What a service is started with: a dataclass here, JSON in the environment of its worker processes.

In: the options of `inkdigit serve`. Out: `Settings`, the same in every process.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

ENVIRONMENT = "INKDIGIT_SERVE"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the service answers, and what it takes."""

    models: tuple[str, ...] = ("default",)  # the first answers where a request names none
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1  # processes
    max_bytes: int = 8 * 2**20  # of one request
    max_files: int = 64  # pictures of one request
    queue: int = 64  # requests that wait for a thread, in each worker
    time_limit_s: float = 10.0  # for a request to arrive, and again for its answer
    collect: Path | None = None
    token: str | None = None
    origins: tuple[str, ...] = ()  # whose pages may ask
    names: tuple[str, ...] = ()  # what a request may call this service in `Host`; anything where there are none

    def to_json(self) -> str:
        """The text that a worker process reads."""
        return json.dumps({**asdict(self), "collect": None if self.collect is None else str(self.collect)})

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        fields["collect"] = None if fields["collect"] is None else Path(fields["collect"])
        return cls(**{**fields, **{name: tuple(fields[name]) for name in ("models", "origins", "names")}})

    @classmethod
    def of_worker(cls) -> Settings:
        """The settings that the parent process left in the environment."""
        return cls.from_json(os.environ[ENVIRONMENT])
