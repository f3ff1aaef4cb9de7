"""A method as plain values, for records."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor


def settings_of(value: Any) -> Any:
    """A frozen dataclass, such as a `Method`, as plain values for JSON; each part names its kind."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {f.name: settings_of(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [settings_of(v) for v in value]
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
