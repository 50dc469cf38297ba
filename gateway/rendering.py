"""Templates, and how one becomes an answer; everything in them is escaped."""

from pathlib import Path
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.templating import Jinja2Templates

from gateway import wording
from shared.domain.attempts import LETTERS_KEPT_DAYS, MAX_WHY
from shared.domain.corrections import MAX_TEXT
from shared.domain.retention import MAX_REASON
from shared.domain.retry import MAX_ATTEMPTS
from shared.domain.states import State
from shared.settings import Settings


def templates(settings: Settings, token: str) -> Jinja2Templates:
    """The templates, everything in them escaped, with the words they use."""
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(wording.FILTERS)
    env.globals.update(
        page_token=token,
        unsandboxed=settings.allow_unsandboxed,
        looks=wording.LOOKS,
        phases=wording.PHASES,
        max_attempts=MAX_ATTEMPTS,
        max_why=MAX_WHY,
        max_text=MAX_TEXT,
        letters_kept_days=LETTERS_KEPT_DAYS,
        max_reason=MAX_REASON,
        State=State,
    )
    return Jinja2Templates(env=env)


def render(request: Request, name: str, context: dict[str, Any]) -> Response:
    """One of the page's templates."""
    rendered: Jinja2Templates = request.app.state.templates
    return rendered.TemplateResponse(request, name, context)
