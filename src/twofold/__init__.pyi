# The public names, and where each of them lives. lazy_loader reads this file at run time.

from . import baselines, datasets, metrics, nn, operators, optim
from .classifiers import RobustLabelClassifier
from .estimators import RobustPCA
from .image.recover import recover_image
from .matrix.recover import robust_pca
from .matrix.sensing.recover import recover_low_rank
from .solution import ImageSolution, LowRankSolution
from .status import RecoveryError, Status

__version__: str

__all__ = [
    "ImageSolution",
    "LowRankSolution",
    "RecoveryError",
    "RobustLabelClassifier",
    "RobustPCA",
    "Status",
    "baselines",
    "datasets",
    "metrics",
    "nn",
    "operators",
    "optim",
    "recover_image",
    "recover_low_rank",
    "robust_pca",
]
