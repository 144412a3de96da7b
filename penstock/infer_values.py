"""What the values of one column are: numbers, truth values, times or text; and which words stand for nothing. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.reading import as_text, datetimes, integers, numbers
from penstock.source_config import BooleanWords, SourceConfig

if TYPE_CHECKING:
    import polars as pl

ENOUGH = 0.99  # this share of the values has to be of a type
MIXED = 0.2  # from this share on, a column of text says that it is mixed
ALWAYS = ("?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "<NA>", "\\N", "#NULL!", "#VALUE!")
# words that are a value as often as not: missing only where all else in a column is numbers or times
PERHAPS = ("-", "--", "---", ".", "..", "None", "none", "na", "missing", "unknown", "Unknown", "nil", "#DIV/0!", "*")
PAIRS = [{"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"on", "off"}, {"ja", "nein"}, {"oui", "non"},
         {"si", "no"}, {"sí", "no"}]  # fmt: skip
TRUE = {"true", "yes", "y", "t", "on", "ja", "oui", "si", "sí", "1"}
STYLES = [(".", None), (".", ","), (",", "."), (",", None), (",", " "), (".", " "), (".", "'")]
CODE = r"^0[0-9]+$"  # a number does not begin with 0
STYLED = 5000  # values that say how numbers are written
SOME = 300  # distinct values that say which formats are worth a try
DAY_FIRST = ["%d/%m/%Y", "%d/%m/%y", "%d-%m-%Y", "%d.%m.%Y", "%d.%m.%y"]
MONTH_FIRST = ["%m/%d/%Y", "%m/%d/%y", "%m-%d-%Y"]
OTHER = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%d-%b-%Y",
         "%d-%b-%y"]  # fmt: skip
TIMES = ["", " %H:%M", " %H:%M:%S", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p"]
ZONED = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"]
NAMED_TIME = re.compile(r"(^|_)(date|day|dt|time|timestamp|ts|at|when|on|datum|zeit)($|_)", re.IGNORECASE)


@dataclass(frozen=True)
class Values:
    """What a column holds. ``dtype`` is the schema's; ``why`` says by what it was told, ``check`` what a person
    should look at. ``unread``: how many of the values are not of the type."""

    dtype: str
    why: str
    check: str = ""
    formats: tuple[str, ...] = ()
    words: BooleanWords | None = None
    unread: int = 0


def missing_words(columns: list[pl.Series]) -> tuple[str, ...]:
    """Words of the raw text ``columns`` that stand for a missing value, sorted; a blank always does."""
    import polars as pl

    found: set[str] = set()
    for values in columns:
        if values.dtype != pl.String:
            continue
        text = values.str.strip_chars()
        present = set(text.filter(text.is_in([*ALWAYS, *PERHAPS])).unique().to_list())
        found |= present & set(ALWAYS)
        perhaps = present & set(PERHAPS)
        if perhaps:
            rest = SourceConfig(call="a:b", missing=(*ALWAYS, *PERHAPS))
            without = as_text(values, rest)
            if without.null_count() < len(without) and _is_plain(without):
                found |= perhaps
    return tuple(sorted(found))


def number_style(columns: list[pl.Series]) -> tuple[str, str | None]:
    """``(decimal, thousands)``: those by which most columns of text are numbers; a point and none if it is all one.

    Told by STYLED values of each column, evenly taken: there are many styles to try.
    """
    columns = [text.drop_nulls() for text in columns]
    columns = [text.gather_every(-(-len(text) // STYLED)) for text in columns if len(text)]
    columns = [text for text in columns if float(text.str.contains(r"\d").mean() or 0) >= ENOUGH]  # type: ignore[arg-type]
    best, most = STYLES[0], -1
    for decimal, thousands in STYLES:
        style = SourceConfig.model_validate({"call": "a:b", "decimal": decimal, "thousands": thousands})
        count = sum(_share(numbers(text, style), text) >= ENOUGH for text in columns)
        if count > most:
            best, most = (decimal, thousands), count
    return best


def infer_values(text: pl.Series, name: str, source: SourceConfig) -> Values:
    """What ``text`` (of `as_text`) is, by the words and the style of ``source``."""
    import polars as pl

    if text.dtype != pl.String:
        return _typed(text, name)
    there = text.drop_nulls()
    if there.is_empty():
        return Values("String", "no value at all")
    lower = set(there.str.to_lowercase().unique().head(3).to_list())
    for pair in PAIRS:
        if lower == pair:
            return Values("Boolean", " or ".join(sorted(there.unique().to_list())[:2]), words=_words(there))
    codes = int(there.str.contains(CODE).sum())
    as_number = numbers(text, source)
    share = _share(as_number, text)
    if share >= ENOUGH and not codes:
        return _number(text, there, as_number, name, source)
    formats = _formats(there)
    if formats:
        unread = int((text.is_not_null() & datetimes(text, formats).is_null()).sum())
        check = _ambiguous(there, formats) or _some_unread(text, datetimes(text, formats))
        several = f" in {len(formats)} formats" if len(formats) > 1 else ""
        return Values("Datetime(time_unit='us')", f"times{several}, such as {there[0]}", check, formats, unread=unread)
    if codes and share >= ENOUGH:
        return Values("String", "digits with leading zeros: a code, not a number")
    check = f"{share:.0%} of the values are numbers: mixed" if share >= MIXED else ""
    return Values("String", "text", check)


def _typed(values: pl.Series, name: str) -> Values:
    import polars as pl

    kind = values.dtype
    if kind == pl.Boolean:
        return Values("Boolean", "true or false")
    if kind.is_integer():
        return _epoch(values, name) or Values("Int64", "whole numbers")
    if kind.is_float() or kind.is_decimal():
        there = values.cast(pl.Float64).drop_nulls()
        whole = len(there) and bool((there == there.floor()).all()) and float(there.abs().max() or 0) < 2**53  # type: ignore[arg-type]
        return Values("Int64", "whole numbers with gaps") if whole and there.len() < len(values) else Values(
            "Float64", "numbers")  # fmt: skip
    if kind in (pl.Date, pl.Datetime):
        return Values("Datetime(time_unit='us')", "times")
    if kind == pl.Null:
        return Values("String", "no value at all")
    return Values("String", "text")


def _number(text: pl.Series, there: pl.Series, found: pl.Series, name: str, source: SourceConfig) -> Values:
    whole = integers(text, source)
    dated = _epoch(whole, name) or _compact_dates(text, there, name)
    if dated:
        return dated
    check = _some_unread(text, found)
    if source.thousands and there.str.contains(rf"\d[{source.thousands}]\d").any():
        example = there.filter(there.str.contains(rf"\d[{source.thousands}]\d"))[0]
        check = check or f"{example} is read as {numbers(there.filter(there == example), source)[0]:g}"
    unread = int((text.is_not_null() & found.is_null()).sum())
    if whole.null_count() == found.null_count() and not there.str.contains(r"\.0+$|,0+$|[eE]").any():
        return Values("Int64", "whole numbers", check, unread=unread)
    return Values("Float64", "numbers", check, unread=unread)


def _epoch(whole: pl.Series, name: str) -> Values | None:
    """Seconds or milliseconds since 1970, if the name speaks of time and all are of 2001 to 2065."""
    low, high = whole.min(), whole.max()
    if not NAMED_TIME.search(name) or not isinstance(low, int) or not isinstance(high, int) or low == high:
        return None
    for form, unit in (("epoch s", 1), ("epoch ms", 1000)):
        if 10**9 * unit <= low and high <= 3 * 10**9 * unit:
            return Values("Datetime(time_unit='us')", f"{form.split()[1]} since 1970", "a time?", (form,))
    return None


def _compact_dates(text: pl.Series, there: pl.Series, name: str) -> Values | None:
    """20240131, if the name speaks of time."""
    if not NAMED_TIME.search(name) or not there.str.contains(r"^(19|20)\d{6}$").all():
        return None
    if datetimes(text, ["%Y%m%d"]).null_count() > text.null_count():
        return None
    return Values("Datetime(time_unit='us')", f"times, such as {there[0]}", formats=("%Y%m%d",))


def _formats(there: pl.Series) -> tuple[str, ...]:
    """The formats that together read nearly all values, the widest first; () if none do."""
    sample = there.unique(maintain_order=True).head(SOME)
    if not sample.str.contains(r"\d").all() and sample.str.contains(r"\d").mean() < ENOUGH:  # type: ignore[operator]
        return ()
    if sample.str.len_chars().max() > 40:  # type: ignore[operator]
        return ()
    hits = {}
    for form in [*ZONED, *(day + time for day in (*OTHER, *DAY_FIRST, *MONTH_FIRST) for time in TIMES)]:
        read = datetimes(sample, [form]).is_not_null()
        if read.any():
            hits[form] = read
    if not hits:
        return ()
    drop = _lesser_order(hits)
    chosen: list[str] = []
    covered = sample.is_null()
    for form in sorted(hits, key=lambda form: -int(hits[form].sum())):
        if form not in drop and bool((hits[form] & ~covered).any()):
            chosen.append(form)
            covered = covered | hits[form]
    return tuple(chosen) if datetimes(there, chosen).is_not_null().mean() >= ENOUGH else ()  # type: ignore[operator]


def _lesser_order(hits: dict[str, pl.Series]) -> set[str]:
    """Formats of the order (day or month first) that reads less: no column has both."""
    orders = [[form for form in hits if any(form.startswith(day) for day in days)] for days in (DAY_FIRST, MONTH_FIRST)]
    reach = [sum(int(hits[form].sum()) for form in order) for order in orders]
    slashes = any("/" in form for form in orders[0])
    lesser = 0 if reach[0] < reach[1] or (reach[0] == reach[1] and slashes) else 1
    return set(orders[lesser])


def _ambiguous(there: pl.Series, formats: tuple[str, ...]) -> str:
    """What to check if the other order of day and month reads every value as well."""
    for form in formats:
        for mine, other in (("%d/%m", "%m/%d"), ("%m/%d", "%d/%m"), ("%d-%m", "%m-%d"), ("%m-%d", "%d-%m")):
            if form.startswith(mine):
                swapped = datetimes(there, [other + form[len(mine) :]])
                if swapped.null_count() == 0:
                    first = "day" if mine.startswith("%d") else "month"
                    return f"{there[0]}: day or month first? read as {first} first"
    return ""


def _some_unread(text: pl.Series, found: pl.Series) -> str:
    bad = text.filter(text.is_not_null() & found.is_null())
    if bad.is_empty():
        return ""
    shown = ", ".join(repr(value[:20]) for value in bad.unique(maintain_order=True).head(3).to_list())
    return f"{len(bad):,} of {len(text):,} are not, such as {shown}: those rows are set aside"


def _is_plain(text: pl.Series) -> bool:
    """Whether all of ``text`` is numbers, in some style, or times."""
    styles = (SourceConfig.model_validate({"call": "a:b", "decimal": d, "thousands": t}) for d, t in STYLES)
    return any(_share(numbers(text, style), text) >= ENOUGH for style in styles) or bool(_formats(text.drop_nulls()))


def _words(there: pl.Series) -> BooleanWords:
    seen = sorted(there.str.to_lowercase().unique().to_list())
    return BooleanWords(
        as_true=tuple(word for word in seen if word in TRUE), as_false=tuple(word for word in seen if word not in TRUE)
    )


def _share(found: pl.Series, text: pl.Series) -> float:
    there = len(text) - text.null_count()
    return (len(found) - found.null_count()) / there if there else 0.0
