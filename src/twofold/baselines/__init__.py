"""What a user would try otherwise: each is called like :func:`twofold.recover_image` and returns what it returns.

They are here to be compared with: the benchmark measures twofold against them. None of them is told where the
outliers are; :func:`detect_and_interpolate` is told which values they have.
"""

from twofold.baselines.deep_image_prior import deep_image_prior
from twofold.baselines.interpolation import detect_and_interpolate
from twofold.baselines.medians import adaptive_median, median
from twofold.baselines.total_variation import total_variation_l1

__all__ = ["adaptive_median", "deep_image_prior", "detect_and_interpolate", "median", "total_variation_l1"]
