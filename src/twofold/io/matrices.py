"""Reading tables of numbers from files, and writing a recovered matrix."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from twofold.io.csv_text import read_csv
from twofold.io.errors import FileError, check_input, explain
from twofold.io.files import Writer
from twofold.io.memory import available_memory

Matrix = NDArray[Any]


def read_matrix(path: Path, *, key: str | None = None, note: Callable[[str], None] = lambda words: None) -> Matrix:
    """Read a matrix with floating-point entries; NaN marks a missing one.

    Parameters
    ----------
    path : Path
        .npy, .npz, .csv (.tsv, .txt), .mat (any version) or .h5 (.hdf5), told by the suffix. Pickled objects
        are never loaded.
    key : str, optional
        Name of the array in a file that holds several (.npz, .mat, .h5).
    note : callable
        Told what was left out, e.g. the row numbers that pandas writes.

    Returns
    -------
    float32 or float64 ndarray of shape (m, n)
        float32 where the file has float16 or float32, float64 for everything else.

    Raises
    ------
    FileError
        For a file that is missing, empty or damaged; that holds several arrays and no key names one; or whose
        array is not a finite real matrix with an observed entry.
    """
    reader = _READERS.get(path.suffix.lower())
    check_input(path, "files " + " ".join(SUFFIXES))
    if reader is None and path.suffix.lower() not in _TEXT:
        raise FileError(
            path,
            f"matrices are not read from {path.suffix or 'files without suffix'!r}",
            f"accepted are {' '.join(SUFFIXES)}",
        )
    if reader is None:
        _refuse_key(path, key)
    try:
        array = read_csv(path, note=note) if reader is None else reader(path, key)
    except MemoryError as error:
        raise FileError(path, "is too large for the memory of this machine") from error
    return check_matrix(path, array)


def check_matrix(path: Path, array: Any) -> Matrix:
    """Refuse an array that is no finite real matrix; give it a floating-point type.

    Raises
    ------
    FileError
    """
    array = np.asarray(array)
    if array.dtype.kind == "c":
        raise FileError(path, "has complex entries", "real numbers are accepted")
    if array.dtype.kind not in "fiub":
        raise FileError(path, f"has entries of type {array.dtype}", "numbers are accepted")
    if array.ndim != 2:
        shape = "×".join(map(str, array.shape)) or "scalar"
        raise FileError(path, f"holds a {array.ndim}-D array ({shape})", "a 2-D array is accepted")
    if array.size == 0:
        raise FileError(
            path, f"the matrix is empty (shape {array.shape})", "at least one row and column are accepted"
        )
    array = array.astype(np.float32 if array.dtype in (np.float16, np.float32) else np.float64)
    infinite = np.isinf(array)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise FileError(
            path,
            f"row {row + 1}, column {column + 1} is {array[row, column]}, one of {infinite.sum()}",
            "finite numbers, and nan for missing entries, are accepted",
        )
    if np.isnan(array).all():
        raise FileError(path, "every entry is nan", "a matrix with an observed entry is accepted")
    return array


def _read_npy(path: Path, key: str | None) -> Any:
    _refuse_key(path, key)
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _npy_error(path, error) from error


def _read_npz(path: Path, key: str | None) -> Any:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise FileError(path, "is a .npy file under the name .npz", "rename it to .npy")
            sizes = dict.fromkeys(archive.files, "array")
            return archive[_choose(path, sizes, key)]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, AttributeError) as error:
        raise _npy_error(path, error) from error


def _npy_error(path: Path, error: Exception) -> FileError:
    if "pickle" in str(error).lower():
        # NumPy says the same of a file that is no NumPy file at all.
        with path.open("rb") as file:
            magic = file.read(6)
        if magic != b"\x93NUMPY" and magic[:2] != b"PK":
            return FileError(path, "is not a NumPy file", "files written by numpy.save and numpy.savez are accepted")
        return FileError(path, "holds pickled objects, which are never loaded", "an array of numbers is accepted")
    what = explain(error) if isinstance(error, OSError) else str(error)
    return FileError(path, f"damaged NumPy file ({what or 'it ends too early'})")


def _read_mat(path: Path, key: str | None) -> Any:
    import scipy.io
    import scipy.sparse

    try:
        contents = scipy.io.loadmat(path)
    except NotImplementedError:  # version 7.3 is HDF5
        return _read_hdf5(path, key, transposed=True)
    except Exception as error:  # scipy raises whatever its parser trips over, TypeError to zlib.error
        raise FileError(path, f"is not a MATLAB file that can be read ({error})") from error
    arrays = {
        name: value.toarray() if scipy.sparse.issparse(value) else value
        for name, value in contents.items()
        if not name.startswith("__")
        and (scipy.sparse.issparse(value) or getattr(value, "dtype", np.dtype(object)).kind in "fiubcU")
    }
    return arrays[_choose(path, {name: str(value.shape) for name, value in arrays.items()}, key)]


def _read_hdf5(path: Path, key: str | None, transposed: bool = False) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise FileError(path, "HDF5 files need h5py", "pip install twofold[matrix]") from error

    found: dict[str, str] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiubc" and not name.startswith("#refs#"):
            found[name] = str(item.shape)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
            dataset = file[_choose(path, found, key)]
            if dataset.size * 8 > available_memory():  # a small file can declare any size
                raise FileError(path, f"{dataset.shape} entries do not fit into the memory of this machine")
            array = dataset[()]
    except (OSError, KeyError, RuntimeError) as error:
        raise FileError(path, f"damaged HDF5 file ({error})") from error
    return array.T if transposed else array


def _choose(path: Path, arrays: dict[str, str], key: str | None) -> str:
    """The name of the one array meant, from names and shapes."""
    listed = ", ".join(f"{name} {shape}" if shape != "array" else name for name, shape in list(arrays.items())[:20])
    if key is not None:
        if key.lstrip("/") not in arrays:
            raise FileError(
                path, f"--key {key}: no such array", f"accepted are {listed or 'none: it holds no array'}"
            )
        return key.lstrip("/")
    if not arrays:
        raise FileError(path, "holds no array of numbers", "a 2-D array is accepted")
    if len(arrays) > 1:
        raise FileError(path, f"holds {len(arrays)} arrays", f"--key NAME chooses one of {listed}")
    return next(iter(arrays))


def _refuse_key(path: Path, key: str | None) -> None:
    if key is not None:
        raise FileError(path, "--key: the file holds a single array", "--key is accepted for .npz .mat .h5")


_READERS: dict[str, Callable[[Path, str | None], Any]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".mat": _read_mat,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
}
_TEXT = (".csv", ".tsv", ".txt")
SUFFIXES = (*_READERS, *_TEXT)


def check_npz_name(path: Path) -> None:
    """Refuse an output for matrices that is not named .npz.

    Raises
    ------
    FileError
    """
    if path.suffix.lower() != ".npz":
        raise FileError(path, "recovered matrices are written as .npz", "a name that ends in .npz is accepted")


def npz_writer(arrays: dict[str, Any]) -> Writer:
    """A writer of named arrays, to be read back by ``numpy.load``."""

    def write(file: BinaryIO) -> None:
        np.savez(file, allow_pickle=False, **arrays)

    return write
