"""Image recovery: identify, polish, and say how likely each entry is an outlier."""
