"""A report in one HTML file: text, numbers and figures, nothing to load from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from twofold.io.files import Writer


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes
    ----------
    title : str
    text : sequence of str
        Paragraphs.
    figures : sequence of (Figure, str)
        Each with what it shows: its caption, and its text for those who cannot see it.
    table : sequence of rows
        Names and values; the first of a row is its name.
    head : sequence of str
        Above the table's columns.
    code : sequence of str
        Commands to try.
    """

    title: str
    text: Sequence[str] = ()
    figures: Sequence[tuple[Figure, str]] = field(default=(), repr=False)
    table: Sequence[Sequence[str]] = ()
    head: Sequence[str] = ()
    code: Sequence[str] = ()


def html_report(title: str, sections: Sequence[Section]) -> str:
    """An HTML page with the figures inside.

    Parameters
    ----------
    title : str
    sections : sequence of Section

    Returns
    -------
    str

    Examples
    --------
    >>> page = html_report("Trial", [Section("Numbers", ["a < b"], table=[("rank", "4")])])
    >>> "<td>4</td>" in page, "a &lt; b" in page
    (True, True)
    """
    body = "\n".join(_section(section) for section in sections)
    return _PAGE.replace("@title@", escape(title)).replace("@body@", body)


def report_writer(title: str, sections: Sequence[Section]) -> Writer:
    """A writer of the page of :func:`html_report`, for :func:`twofold.io.files.write_together`."""
    from twofold.io.files import bytes_writer

    return bytes_writer(html_report(title, sections).encode())


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    parts += [f"<p>{escape(paragraph)}</p>" for paragraph in section.text]
    for figure, caption in section.figures:
        parts.append(
            f'<figure><img src="{_data_url(figure)}" alt="{escape(caption)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    if section.table:
        head = "".join(f"<th scope='col'>{escape(word)}</th>" for word in section.head)
        rows = "".join(
            f"<tr><th scope='row'>{escape(name)}</th>{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>"
            for name, *values in section.table
        )
        parts.append("<table>" + (f"<tr>{head}</tr>" if head else "") + f"{rows}</table>")
    if section.code:
        parts.append("<pre>" + "\n".join(escape(line) for line in section.code) + "</pre>")
    return "<section>" + "\n".join(parts) + "</section>"


def _data_url(figure: Figure) -> str:
    from twofold.plots import figure_writer

    buffer = BytesIO()
    figure_writer(figure, Path("figure.png"))(buffer)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@title@</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: 0.9rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; padding: 0.25rem 1rem 0.25rem 0; border-bottom: 1px solid #ddd; }
th { font-weight: normal; color: #555; }
td { font-variant-numeric: tabular-nums; }
pre { background: #f4f4f4; padding: 0.75rem; overflow-x: auto; }
</style>
</head>
<body>
<h1>@title@</h1>
@body@
</body>
</html>
"""
