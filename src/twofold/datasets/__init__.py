"""Data with known answers: matrices of low rank with outliers, videos, a sensor log, corrupted images."""

from twofold.datasets.images import dead_lines, random_valued_impulse, salt_and_pepper, scratches, text_overlay
from twofold.datasets.matrices import (
    LowRankPlusSparse,
    SensorMatrix,
    low_rank_plus_sparse,
    moving_blobs,
    sensor_matrix,
)

__all__ = [
    "LowRankPlusSparse",
    "SensorMatrix",
    "dead_lines",
    "low_rank_plus_sparse",
    "moving_blobs",
    "random_valued_impulse",
    "salt_and_pepper",
    "scratches",
    "sensor_matrix",
    "text_overlay",
]
