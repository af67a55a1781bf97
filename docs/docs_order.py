"""The order of the gallery: from what most people come for to what is behind it."""

ORDER = ("plot_matrix.py", "plot_image.py", "plot_pytorch.py", "plot_labels.py", "plot_growth.py")


class ExampleOrder:
    """A key for sorting, made by sphinx-gallery for each folder."""

    def __init__(self, src_dir: str) -> None:
        pass

    def __call__(self, filename: str) -> int:
        return ORDER.index(filename)

    def __repr__(self) -> str:
        return "ExampleOrder"
