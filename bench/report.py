"""One self-contained HTML report: tables, curves and visual comparisons, with no reference to anything outside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.tables import Table

TABLES_MARK, SPEED_MARK, SEAMS_MARK = "tables", "speed", "seams"
BOUNDS_MARK, FIELDS_MARK = "bounds", "fields"
"""Names of the places in a Markdown file where tables stand."""
README_END = "<!-- bench: end -->"
"""What ends each of these places."""


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


def readme_begin(name: str) -> str:
    """Return what begins a place of tables."""
    return f"<!-- bench: {name} -->"


def update_readme(path: Path, tables: Sequence[Table], name: str) -> None:
    """Put tables into a place of a Markdown file.

    Parameters
    ----------
    path : Path
        The file.
    tables : sequence of Table
        What is to stand there.
    name : str
        Name of the place.

    Raises
    ------
    ValueError
        The file has no such place.
    """
    begin = readme_begin(name)
    before, found, rest = path.read_text().partition(begin)
    _, ended, after = rest.partition(README_END)
    if not found or not ended:
        raise ValueError(f"{path} has no {begin} … {README_END}")
    text = "\n\n".join(table.markdown() for table in tables)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{README_END}{after}")


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
