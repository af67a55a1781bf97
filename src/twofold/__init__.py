"""twofold: recover what is clean from data with gross outliers, by double over-parameterization.

Names load on first use (SPEC 1): ``import twofold`` costs milliseconds, PyTorch comes with the first
recovery.
"""

import lazy_loader

__version__ = "0.1.0.dev0"

__getattr__, __lazy_dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __dir__() -> list[str]:
    return [*__lazy_dir__(), "__version__"]
