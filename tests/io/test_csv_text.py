"""Tables as people write them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from twofold.io.csv_text import read_csv

NAN = np.nan

TABLES = {
    "plain": ("1,2\n3,4\n", [[1, 2], [3, 4]]),
    "header": ("a,b\n1,2\n3,4", [[1, 2], [3, 4]]),
    "quoted": ('"a","b"\n"1","2"\n', [[1, 2]]),
    "missing": ("a,b\n1,\nNA,4\n?,-\n", [[1, NAN], [NAN, 4], [NAN, NAN]]),
    "decimal comma": ("a;b\n1,5;2\n-3,25e1;4\n", [[1.5, 2], [-32.5, 4]]),
    "tabs": ("1\t2\n3\t4\n", [[1, 2], [3, 4]]),
    "spaces": ("1 2  3\n4 5 6 \n", [[1, 2, 3], [4, 5, 6]]),
    "Windows": ("\ufeffa;b\r\n1;2\r\n3;4\r\n", [[1, 2], [3, 4]]),
    "blank lines": ("\n1,2\n\n3,4\n\n", [[1, 2], [3, 4]]),
    "one column": ("x\n1\n2\n", [[1], [2]]),
    "one row": ("1,2,3", [[1, 2, 3]]),
    "empty first row": (",,\n1,2,3\n", [[NAN, NAN, NAN], [1, 2, 3]]),
    "counting data": ("0,1,2\n3,4,5\n", [[0, 1, 2], [3, 4, 5]]),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(tmp_path, kind):
    text, expected = TABLES[kind]
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    np.testing.assert_array_equal(read_csv(tmp_path / "t.csv"), np.array(expected, float))


def test_encodings(tmp_path):
    for encoding in ("utf-8", "latin-1", "utf-16"):
        (tmp_path / "t.csv").write_text("Wärme,Kälte\n1,2\n", encoding=encoding)
        np.testing.assert_array_equal(read_csv(tmp_path / "t.csv"), [[1, 2]])


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("names", [None, ["a", "b", "c"]])
def test_what_pandas_writes(tmp_path, index, header, names):
    values = np.random.default_rng(0).standard_normal((5, 3))
    pd.DataFrame(values, columns=names).to_csv(tmp_path / "t.csv", index=index, header=header)
    notes: list[str] = []
    table = read_csv(tmp_path / "t.csv", note=notes.append)
    if index and not header:  # nothing tells the numbers of the rows from data
        table = table[:, 1:]
    np.testing.assert_allclose(table, values, rtol=1e-15)
    assert len(notes) == header * (index + (names is None))
