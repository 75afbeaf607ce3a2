"""How the help of a command is laid out: options under headings, with ranges in words, then examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import click

OTHER = "Other options"
CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "show_default": True,
}


class Command(click.Command):
    """A command whose help shows its options by section, and examples at the end.

    Parameters
    ----------
    sections : mapping of str to sequence of str, optional
        Names of parameters under each heading; those that are in none come last.
    examples : sequence of (str, str), optional
        What to type after "eocodec", and what it does.
    """

    def __init__(
        self,
        *args: Any,
        sections: Mapping[str, Sequence[str]] | None = None,
        examples: Sequence[tuple[str, str]] = (),
        **kwargs: Any,
    ):
        # click keeps the help option of the first context it sees: that of a group or, in tests, none.
        super().__init__(*args, **{"context_settings": CONTEXT, **kwargs})
        self._sections = dict(sections or {})
        self._examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each section under its heading."""
        rest = OTHER if self._sections else "Options"
        heading_of = {name: head for head, names in self._sections.items() for name in names}
        rows: dict[str, list[tuple[str, str]]] = {head: [] for head in (*self._sections, rest)}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                rows[heading_of.get(parameter.name or "", rest)].append(record)
        for heading, records in rows.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are typed."""
        super().format_epilog(ctx, formatter)
        if self._examples:
            with formatter.section("Examples"):
                typed = [(f"eocodec {words}", what) for words, what in self._examples]
                formatter.write_dl(typed, col_max=56)


class Whole(click.IntRange):
    """An integer within a range, which is told in words: `told`, where more than the range is known."""

    name = "integer"

    def __init__(self, min: int | None = None, max: int | None = None, told: str = ""):
        super().__init__(min, max)
        self._told = told

    def _describe_range(self) -> str:
        return self._told or _in_words(self)


class Number(click.FloatRange):
    """A finite number within a range, which is told in words."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; NaN is in no range, and comparisons do not tell."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number

    def _describe_range(self) -> str:
        return _in_words(self)


def _in_words(bounds: click.IntRange | click.FloatRange) -> str:
    if bounds.max is not None:
        return f"{bounds.min} to {bounds.max}"
    return f"above {bounds.min}" if bounds.min_open else f"{bounds.min} or more"


AT_LEAST_ONE = Whole(min=1)
POSITIVE = Number(min=0, min_open=True)
