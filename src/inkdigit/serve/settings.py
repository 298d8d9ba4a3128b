"""The settings of a service: a dataclass here, JSON in the environment of its worker processes.

In: the options of `inkdigit serve`. Out: `Settings`, the same in every process.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from inkdigit.serve import defaults

ENVIRONMENT = "INKDIGIT_SERVE"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the service answers, and what it accepts."""

    models: tuple[str, ...] = ("default",)  # the first answers a request that does not name a model
    host: str = defaults.HOST
    port: int = defaults.PORT
    workers: int = defaults.WORKERS  # processes
    max_bytes: int = defaults.MAX_BYTES  # of one request
    max_files: int = 64  # images of one request
    queue: int = defaults.QUEUE  # requests that wait for a thread, in each worker
    time_limit_s: float = defaults.TIME_LIMIT_S  # for a request to arrive, and again for its answer
    collect: Path | None = None  # the file of corrections; None stores none
    token: str | None = None
    origins: tuple[str, ...] = ()  # sites whose pages may send requests
    names: tuple[str, ...] = ()  # the names in `Host` that are accepted; any name if there are none

    def to_json(self) -> str:
        """The text for a worker process."""
        return json.dumps({**asdict(self), "collect": None if self.collect is None else str(self.collect)})

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read the text of `to_json`."""
        fields = json.loads(text)
        fields["collect"] = None if fields["collect"] is None else Path(fields["collect"])
        return cls(**{**fields, **{name: tuple(fields[name]) for name in ("models", "origins", "names")}})

    @classmethod
    def of_worker(cls) -> Settings:
        """The settings that the parent process left in the environment."""
        return cls.from_json(os.environ[ENVIRONMENT])
