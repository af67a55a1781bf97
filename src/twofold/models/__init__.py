"""Over-parameterized signal models x = f(theta)."""
