"""temporary: replaced at the merge"""

from __future__ import annotations

from pydantic import BaseModel

from trainers.validation import SETTINGS


class Columns(BaseModel):
    model_config = SETTINGS | {"frozen": True}
    user: str | int | None = None
    item: str | int | None = None
    rating: str | int | None = None
    time: str | int | None = None


class Layout(BaseModel):
    model_config = SETTINGS | {"frozen": True}
    columns: Columns | None = None
    separator: str | None = None
    header: bool | None = None
    encoding: str | None = None
