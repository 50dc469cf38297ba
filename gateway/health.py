"""`/healthz`: whether the door is open and the store behind it answers."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.dependencies import Wired
from gateway.errors import DESCRIBED

router = APIRouter(tags=["health"], responses=DESCRIBED)


class Health(BaseModel):
    status: Literal["ok"]


@router.get("/healthz")
def healthz(parts: Wired) -> Health:
    """200 while the store answers; 503 otherwise."""
    parts.recordings.page(limit=1)
    return Health(status="ok")
