"""Low-rank recovery from general linear measurements: y = A(X) + s."""
