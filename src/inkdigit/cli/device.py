"""The option --device: where a training computes, for the commands that train; `training.device` has the rules."""

from __future__ import annotations

from typing import Annotated

import typer

from inkdigit.machine import DEVICE_NAMES

Device = Annotated[str, typer.Option(help=f"{DEVICE_NAMES}.")]
