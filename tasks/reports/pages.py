"""Makes the HTML pages: templates that share one style sheet, each page whole in one file that loads nothing. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).with_name("templates")


def page(template: str, **values: Any) -> str:
    """The HTML of `templates/<template>`: equal for equal values. All of them are escaped but `Markup`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        num=number, short=short, whole=whole, percent=percent, loss=loss, time=time, share=share, score=score
    )
    return environment.get_template(template).render(**values)


def number(value: float | None, form: str = ".4f") -> str:
    """With a real minus sign; a dash where there is none."""
    text = "–" if value is None else format(value, form)
    return "\N{MINUS SIGN}" + text[1:] if text.startswith("-") else text


def short(value: float | None) -> str:
    """Six digits; a whole number with all of its own."""
    return number(value, ",.0f" if value is not None and float(value).is_integer() else ".6g")


def whole(value: int | None) -> str:
    return number(value, ",d")


def loss(value: float) -> str:
    return number(value, ".3g")


def percent(value: float | None) -> str:
    return number(value, ".2%")


def time(seconds: float) -> str:
    """Of seconds since 1970, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def share(value: float) -> str:
    return f"{value:.1%}"


def score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
