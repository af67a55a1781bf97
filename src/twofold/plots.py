"""Figures of results. They are drawn on Figure objects: no display, no global state of pyplot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from twofold.problem import in_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from twofold.io.files import Writer
    from twofold.io.videos import Video
    from twofold.solution import LowRankSolution

_MAX_DRAWN = 1024  # more rows or columns than this cannot be told apart on a page


def image_figure(before: Any, after: Any, outlier_probability: Any, *, truth: Any = None) -> Figure:
    """Draw an image before and after its recovery, and where the outliers were.

    Parameters
    ----------
    before, after : ndarray of shape (H, W), (H, W, 3) or (H, W, 4)
        Any dtype; shown on the range of ``before``.
    outlier_probability : ndarray of shape (H, W) or (H, W, 3)
        In [0, 1].
    truth : ndarray like ``before``, optional
        The clean image, where it is known.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = image_figure(np.eye(8), np.zeros((8, 8)), np.eye(8))
    >>> [axes.get_title() for axes in figure.axes]
    ['before', 'after', 'outliers']
    """
    from matplotlib.figure import Figure

    probability = np.asarray(outlier_probability, dtype=np.float32)
    scale = _shown_range(np.asarray(before))
    shown = [("before", before), ("after", after)]
    if truth is not None:
        shown.append(("truth", truth))
    height, width = np.asarray(before).shape[:2]
    n_panels = len(shown) + 1
    panel = 4.0
    figure = Figure(
        figsize=(panel * n_panels, 0.35 + panel * min(max(height / width, 0.3), 2.0)), layout="constrained"
    )
    panels = np.atleast_1d(figure.subplots(1, n_panels))
    for axes, (title, picture) in zip(panels, shown, strict=False):
        axes.imshow(_thin(_unit_range(np.asarray(picture), scale)), cmap="gray", vmin=0, vmax=1)
        axes.set_title(title)
    panels[-1].imshow(_thin(probability), cmap="gray", vmin=0, vmax=1)
    panels[-1].set_title("outliers" if probability.ndim == 2 else "outliers, by channel")
    for axes in panels:
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def matrix_figure(
    values: Any, solution: LowRankSolution, *, unit: str = "", names: tuple[str, str] = ("row", "column")
) -> Figure:
    """Draw a matrix, its low-rank part, its outliers, and the singular values of input and low-rank part.

    Parameters
    ----------
    values : ndarray of shape (m, n)
        What was given to ``robust_pca``; NaN is drawn as a gap.
    solution : LowRankSolution
    unit : str, optional
        Written beside the colour scale.
    names : (str, str)
        What a row and a column are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    values, low_rank, outliers = (np.asarray(in_numpy(a)) for a in (values, solution.low_rank, solution.outliers))
    figure = Figure(figsize=(11, 8), layout="constrained")
    (first, second), (third, fourth) = figure.subplots(2, 2)
    # Gross outliers would leave the rest in one colour: the scale is that of the low-rank part.
    low, high = np.percentile(low_rank, [0.5, 99.5])
    if low == high:
        low, high = low - 1, high + 1
    for axes, title, matrix in ((first, "input", values), (second, "low rank", low_rank)):
        drawn = _draw_matrix(axes, matrix, names, cmap="viridis", vmin=low, vmax=high)
        missing = int(np.isnan(matrix).sum())
        axes.set_title(f"{title} ({missing / matrix.size:.0%} missing, in grey)" if missing else title)
    figure.colorbar(drawn, ax=[first, second], label=unit, extend="both", shrink=0.9)
    size = np.abs(outliers[outliers != 0])
    limit = float(np.percentile(size, 99)) if size.size else 1.0
    drawn = _draw_matrix(third, outliers, names, cmap="RdBu_r", vmin=-limit, vmax=limit)
    third.set_title(f"outliers ({solution.outlier_fraction:.1%} of the entries)")
    figure.colorbar(drawn, ax=third, label=unit, extend="both", shrink=0.9)
    _draw_singular_values(fourth, values, solution)
    return figure


def video_figure(clip: Video, background: Video, foreground: Any) -> Figure:
    """Draw three frames of a video, their background and their foreground.

    Parameters
    ----------
    clip, background : twofold.io.videos.Video
        Of equal shape.
    foreground : uint8 ndarray of shape (n_frames, H, W)

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    from twofold.io.videos import to_rgb

    n_frames = len(clip.frames)
    chosen = sorted({n_frames // 6, n_frames // 2, n_frames - 1 - n_frames // 6})
    height = 0.4 + 3.2 * len(chosen) * clip.height / clip.width
    figure = Figure(figsize=(3.2 * 3, height), layout="constrained")
    for row, (index, panels) in enumerate(zip(chosen, figure.subplots(len(chosen), 3, squeeze=False), strict=True)):
        panels[0].imshow(to_rgb(clip.frames[index], clip.height))
        panels[1].imshow(to_rgb(background.frames[index], clip.height))
        panels[2].imshow(foreground[index], cmap="gray", vmin=0, vmax=255)
        panels[0].set_ylabel(f"frame {index}")
        for axes, title in zip(panels, ("input", "background", "foreground"), strict=True):
            axes.set_xticks([])
            axes.set_yticks([])
            if row == 0:
                axes.set_title(title)
    return figure


def figure_writer(figure: Figure, path: Path) -> Writer:
    """A writer of the figure in the format that the suffix of ``path`` names: .png, .pdf or .svg."""

    def write(file: BinaryIO) -> None:
        # Without the date, equal figures are equal files.
        metadata: dict[str, Any] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(
            path.suffix.lower(), {}
        )
        figure.savefig(file, format=path.suffix.lower().lstrip("."), dpi=120, metadata=metadata)

    return write


def _draw_singular_values(axes: Axes, values: NDArray[Any], solution: LowRankSolution) -> None:
    from matplotlib.ticker import MaxNLocator

    # Missing entries have no singular values: the low-rank part stands in for them.
    filled = np.where(np.isnan(values), in_numpy(solution.low_rank), values)
    of_input = np.linalg.svd(_subsample(filled), compute_uv=False)
    of_result = in_numpy(solution.factors[1])
    scale = np.linalg.norm(filled) / max(np.linalg.norm(_subsample(filled)), np.finfo(float).tiny)
    shown = slice(0, min(len(of_input), max(3 * solution.rank, 30)))
    of_input = (of_input * scale)[shown]
    axes.plot(np.arange(1, len(of_input) + 1), of_input, "o-", color="0.6", markersize=4, label="input")
    if solution.rank:
        axes.plot(np.arange(1, solution.rank + 1), of_result, "s", color="C0", markersize=5, label="low rank")
        axes.axvline(solution.rank + 0.5, color="C3", linestyle="--", label=f"rank {solution.rank} found")
    positive = np.concatenate([of_input, of_result])
    if (positive > 0).any():
        axes.set_yscale("log")
        # Rounding errors far down would squeeze what matters.
        axes.set_ylim(bottom=max(positive[positive > 0].min(), positive.max() * 1e-8) / 2)
    axes.set_title("singular values")
    axes.set_xlabel("index")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(left=0.5)
    axes.set_ylabel("singular value (log scale)")
    axes.legend()


def _draw_matrix(axes: Axes, matrix: NDArray[Any], names: tuple[str, str], **colours: Any) -> Any:
    from matplotlib import colormaps

    rows, columns = matrix.shape
    colours["cmap"] = colormaps[colours["cmap"]].with_extremes(bad="0.75")
    drawn = axes.imshow(
        _thin(matrix),
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, columns + 0.5, rows + 0.5, 0.5),
        **colours,
    )
    axes.set_ylabel(names[0])
    axes.set_xlabel(names[1])
    return drawn


def _subsample(matrix: NDArray[Any]) -> NDArray[Any]:
    """At most 600 rows and columns, chosen at random: enough for the look of the singular values."""
    rng = np.random.default_rng(0)
    for axis, length in enumerate(matrix.shape):
        if length > 600:
            matrix = matrix.take(np.sort(rng.choice(length, 600, replace=False)), axis=axis)
    return matrix


def _thin(picture: NDArray[Any]) -> NDArray[Any]:
    step = max(-(-max(picture.shape[:2]) // _MAX_DRAWN), 1)
    return picture[::step, ::step]


def _shown_range(picture: NDArray[Any]) -> tuple[float, float]:
    if picture.dtype.kind in "ui":
        return 0.0, float(np.iinfo(picture.dtype).max)
    low, high = float(np.min(picture)), float(np.max(picture))
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if high > low else (low, low + 1)


def _unit_range(picture: NDArray[Any], scale: tuple[float, float]) -> NDArray[Any]:
    low, high = scale
    return np.clip((picture.astype(np.float32) - low) / (high - low), 0, 1)
