"""One self-contained HTML report: tables, curves and visual comparisons, with no reference to anything outside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.tables import Table

README_BEGIN, README_END = "<!-- bench: tables -->", "<!-- bench: end -->"
"""Marks in a Markdown file between which the tables stand."""


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it.

    Attributes
    ----------
    title : str
        The heading.
    tables : sequence of Table
        Tables, first.
    pictures : sequence of (str, Path)
        Titles and PNG files.
    """

    title: str
    tables: Sequence[Table] = ()
    pictures: Sequence[tuple[str, Path]] = ()


def write_report(
    path: Path, title: str, introduction: Sequence[str], sections: Sequence[Section]
) -> None:
    """Write the report; pictures become data URIs."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    shown = [
        {
            "title": section.title,
            "tables": section.tables,
            "pictures": [{"title": t, "source": _data_uri(p)} for t, p in section.pictures],
        }
        for section in sections
    ]
    template = environment.get_template("report.html.j2")
    path.write_text(template.render(title=title, introduction=introduction, sections=shown))


def update_readme(path: Path, tables: Sequence[Table]) -> None:
    """Put the tables between the two marks of a Markdown file; raises ValueError where it has none."""
    before, found, rest = path.read_text().partition(README_BEGIN)
    _, ended, after = rest.partition(README_END)
    if not found or not ended:
        raise ValueError(f"{path} has no {README_BEGIN} … {README_END}")
    text = "\n\n".join(table.markdown() for table in tables)
    path.write_text(f"{before}{README_BEGIN}\n\n{text}\n\n{README_END}{after}")


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
