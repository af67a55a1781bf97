"""Low-rank recovery: identify, polish, certify."""
