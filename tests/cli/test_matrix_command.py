"""`twofold matrix`: every format it reads, what it writes, what it refuses."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

from twofold.datasets import low_rank_plus_sparse

DATA = low_rank_plus_sparse((60, 40), 2, 0.05, random_state=0)
Y = DATA.observed


def _mat73(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["Y"] = Y.T
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM")


WRITERS = {
    "a.npy": lambda path: np.save(path, Y),
    "a.npz": lambda path: np.savez(path, Y),
    "a.csv": lambda path: pd.DataFrame(Y).to_csv(path, index=False),
    "a.tsv": lambda path: pd.DataFrame(Y).to_csv(path, index=False, header=False, sep="\t"),
    "a.mat": lambda path: scipy.io.savemat(path, {"Y": Y}),
    "b.mat": _mat73,
    "a.h5": lambda path: h5py.File(path, "w").create_dataset("group/Y", data=Y).file.close(),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_answer(twofold, tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    facts = twofold("matrix", path, "--json").json
    assert facts["shape"] == [60, 40]
    assert facts["rank"] == 2
    assert facts["status"] == "certified"
    assert {"outlier_fraction", "gap", "seconds"} <= set(facts)
    with np.load(tmp_path / f"{path.stem}_clean.npz") as result:
        np.testing.assert_allclose(result["low_rank"], DATA.low_rank, atol=1e-6)
        np.testing.assert_allclose(result["outliers"], DATA.outliers, atol=1e-6)
        assert result["components"].shape == (2, 40)
        np.testing.assert_allclose(result["components"] @ result["components"].T, np.eye(2), atol=1e-12)
        sigma = np.linalg.svd(DATA.low_rank, compute_uv=False)[:2]
        np.testing.assert_allclose(result["singular_values"], sigma, rtol=1e-6)
        assert result["dual_variable"].shape == (60, 40)
        assert int(result["rank"]) == 2


def test_missing_entries_figure_and_words(twofold, table, tmp_path):
    outcome = twofold("matrix", table, "-o", tmp_path / "out.npz", "--figure", tmp_path / "figure.svg")
    assert outcome.status == 0
    assert outcome.err == ""
    assert "60×40, rank 2 found" in outcome.out
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")


def test_dense_noise_is_told_with_the_error_to_expect(twofold, tmp_path):
    noisy = low_rank_plus_sparse((200, 120), 3, 0.05, noise=0.01, random_state=0)
    np.save(tmp_path / "noisy.npy", noisy.observed)
    outcome = twofold("matrix", tmp_path / "noisy.npy", "-o", tmp_path / "out.npz", "--json")
    assert outcome.json["status"] == "noisy"
    assert outcome.json["noise"] == pytest.approx(0.01, rel=0.05)
    with np.load(tmp_path / "out.npz") as result:
        error = np.linalg.norm(result["low_rank"] - noisy.low_rank) / np.linalg.norm(noisy.low_rank)
    assert outcome.json["error_estimate"] == pytest.approx(error, rel=0.15)
    words = twofold("matrix", tmp_path / "noisy.npy", "--force").out
    assert f"low-rank part to expect from it: {outcome.json['error_estimate']:.1e}" in words


def test_key_chooses(twofold, refused, tmp_path):
    np.savez(tmp_path / "two.npz", a=Y, b=Y[:30])
    line = refused("matrix", tmp_path / "two.npz")
    assert "--key NAME chooses one of a, b" in line
    assert "accepted are a, b" in refused("matrix", tmp_path / "two.npz", "--key", "c")
    assert twofold("matrix", tmp_path / "two.npz", "--key", "b", "--json").json["shape"] == [30, 40]
    with h5py.File(tmp_path / "groups.h5", "w") as file:
        file["x/a"], file["b"] = Y, Y
    assert "x/a (60, 40)" in refused("matrix", tmp_path / "groups.h5")
    assert twofold("matrix", tmp_path / "groups.h5", "--key", "/x/a", "--json").json["rank"] == 2


ARRAYS = {
    "inf": (np.where(np.arange(2400).reshape(60, 40) == 41, np.inf, Y), "row 2, column 2 is inf"),
    "nan": (np.full((4, 4), np.nan), "every entry is nan"),
    "1-D": (np.ones(7), "1-D array (7)"),
    "3-D": (np.ones((2, 3, 4)), "3-D array (2×3×4)"),
    "0-D": (np.float64(3), "0-D array"),
    "complex": (np.ones((3, 3), complex), "complex"),
    "strings": (np.array([["a", "b"]]), "numbers are accepted"),
    "empty": (np.ones((0, 4)), "is empty"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_unusable_arrays(refused, tmp_path, kind):
    array, words = ARRAYS[kind]
    np.save(tmp_path / "a.npy", array)
    line = refused("matrix", tmp_path / "a.npy")
    assert "a.npy: " in line
    assert words in line


class _Bomb:
    """An object that does harm when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("name", ["bomb.npy", "bomb.npz"])
def test_pickles_are_never_loaded(refused, tmp_path, name):
    save = np.save if name.endswith("npy") else np.savez
    save(tmp_path / name, np.array([_Bomb()], dtype=object), allow_pickle=True)
    assert "never loaded" in refused("matrix", tmp_path / name)


TEXTS = {
    "word": ("1,2,3\n4,five,6\n", "row 2, column 2: 'five' is not a number"),
    "word under a header": ("a,b\n1,2\n\n3,x\n", "row 4, column 2: 'x'"),
    "ragged": ("1,2,3\n4,5\n", "row 2 has 2 cells"),
    "header alone": ("a,b,c\n", "no rows"),
    "blank": ("\n \n", "is empty"),
    "infinite": ("1,2\n3,inf\n", "row 2, column 2 is inf"),
    "all missing": ("a,b\n,NA\nnan,\n", "every entry is nan"),
    "binary": ("\0\1\2", "binary"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_unusable_text(refused, tmp_path, kind):
    text, words = TEXTS[kind]
    (tmp_path / "a.csv").write_text(text)
    assert words in refused("matrix", tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.mat", "a.h5"])
@pytest.mark.parametrize("content", [b"", b"no such thing", b"half"])
def test_damaged_files(refused, tmp_path, name, content):
    path = tmp_path / name
    if content == b"half":
        WRITERS[name](path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    assert name in refused("matrix", path)


def test_names_and_folders(refused, table, tmp_path):
    assert "no such file" in refused("matrix", tmp_path / "no.npy")
    assert "is a folder" in refused("matrix", tmp_path, "-o", tmp_path / "o.npz")
    (tmp_path / "a.xlsx").write_text("x")
    assert "'.xlsx'" in refused("matrix", tmp_path / "a.xlsx")
    assert ".npz is accepted" in refused("matrix", table, "-o", tmp_path / "out.csv")
    np.savez(tmp_path / "in.npz", Y)
    assert "an input as well" in refused("matrix", tmp_path / "in.npz", "-o", tmp_path / "in.npz", "--force")
    assert "no such folder" in refused("matrix", table, "-o", tmp_path / "no" / "out.npz")
    assert "--figure" in refused("matrix", table, "--figure", tmp_path / "figure.jpg")
    (tmp_path / "table_clean.npz").write_text("mine")
    assert "--force" in refused("matrix", table)


@pytest.mark.parametrize("alpha", ["0", "-1", "nan", "inf", "x"])
def test_alpha(refused, table, alpha):
    refused("matrix", table, "--alpha", alpha)


def test_force_replaces(twofold, table, tmp_path):
    (tmp_path / "table_clean.npz").write_text("old")
    assert twofold("matrix", table, "--force").status == 0
    with np.load(tmp_path / "table_clean.npz") as result:
        assert "low_rank" in result


def test_a_failed_run_is_status_1(twofold, table, monkeypatch):
    from dataclasses import replace

    import twofold.matrix.recover as module
    from twofold.status import Status

    real = module.robust_pca
    failed = Status("max_iter", False, "3 steps were not enough.", "Raise max_iter.")
    monkeypatch.setattr(module, "robust_pca", lambda *a, **k: replace(real(*a, **k), status=failed, certificate=None))
    outcome = twofold("matrix", table, "--json")
    assert outcome.status == 1
    assert outcome.json["gap"] is None
    assert outcome.err == f"twofold: error: {table}: max_iter: 3 steps were not enough. Raise max_iter.\n"
