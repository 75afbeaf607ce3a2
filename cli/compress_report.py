"""What `eocodec compress` says it did: mode, quality and errors of every part, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from eocodec.cli.output import human_size

if TYPE_CHECKING:
    from eocodec.formats.compress_options import CodedPart, CompressReport

_LONG = 72


def report_text(
    sources: Sequence[str], source_bytes: int, output: str, report: CompressReport
) -> str:
    """Return a line of sizes, and one for every part: how it was coded, and what error that made."""
    size = report.size
    text = (
        f"{' + '.join(sources)} {human_size(source_bytes)} -> {output} {human_size(size)}: "
        f"ratio {report.raw_bytes / size:.2f} to raw samples ({human_size(report.raw_bytes)}), "
    )
    if report.pixels is None:
        text += f"{8 * size / report.samples:.4g} bits a sample"
    else:
        text += f"{8 * size / report.pixels:.4g} bpp, {8 * size / report.samples:.4g} bpppb"
    return "\n".join([text, *(f"  {line}" for line in part_lines(report.parts))])


def part_lines(parts: Sequence[CodedPart]) -> list[str]:
    """Return a line for every part that lost something, and one for what is exact."""
    lines = [_part_text(part) for part in parts if part.mode != "exact"]
    exact = [part for part in parts if part.mode == "exact"]
    if exact and not lines:
        return ["every sample is exact"]
    if exact:
        names = _shortened(", ".join(part.name for part in exact))
        sizes = [part.size for part in exact]
        size = "" if None in sizes else f"; {human_size(sum(filter(None, sizes)))}"
        lines.append(f"{names}: exact{size}")
    return lines


def _part_text(part: CodedPart) -> str:
    unit = f" {part.unit}" if part.unit else ""
    text = f"{_shortened(part.name)}: {part.mode}"
    text += f", {part.detail}" if part.detail else ""
    if part.rmse is not None and part.max_error is not None:
        text += f"; RMSE {part.rmse:.4g}{unit}, largest error {part.max_error:.4g}{unit}"
    return text if part.size is None else f"{text}; {human_size(part.size)}"


def _shortened(names: str) -> str:
    return names if len(names) <= _LONG else f"{names[: _LONG - 3]}..."


def report_json(
    sources: Sequence[str], source_bytes: int, output: str, report: CompressReport
) -> dict[str, Any]:
    """Return the same, as JSON can hold it."""
    size = report.size
    return {
        "sources": list(sources),
        "source_bytes": source_bytes,
        "output": output,
        "bytes": size,
        "raw_bytes": report.raw_bytes,
        "ratio": report.raw_bytes / size,
        "bpp": None if report.pixels is None else 8 * size / report.pixels,
        "bpppb": 8 * size / report.samples,
        "parts": [asdict(part) for part in report.parts],
        "warnings": list(report.warnings),
    }
