"""
An image in five minutes
========================

A photograph with a third of its values destroyed, each colour channel on its own.
"""

# %%
# The damage
# ----------

from skimage.data import astronaut

from twofold import datasets, recover_image
from twofold.metrics import psnr

clean = astronaut()[20:180, 150:310]
noisy = datasets.salt_and_pepper(clean, 0.3, random_state=0)

# %%
# One call
# --------
# Blind: it is told neither which values are wrong, nor how many, nor that they are black and white. ``preset="fast"``
# is the quickest; ``"balanced"`` is the default.

solution = recover_image(noisy, preset="fast")
print(solution.status)

from twofold.plots import image_figure

figure = image_figure(noisy, solution.image, solution.outlier_probability, truth=clean)

# %%
# How good is it?
# ---------------
# The solution says so itself: some entries were withheld, and are predicted with a known error.

print(f"expected: {solution.expected_psnr:.1f} dB")
print(f"truth:    {psnr(clean, solution.image):.1f} dB, before {psnr(clean, noisy):.1f} dB")

# %%
# The expected error of each entry, in grey levels: large where texture was destroyed, nearly zero where values were
# kept.

from matplotlib.figure import Figure

figure = Figure(figsize=(5, 4), layout="constrained")
axes = figure.subplots()
drawn = axes.imshow(solution.expected_error.mean(axis=2), cmap="magma", vmax=8)
axes.set_axis_off()
figure.colorbar(drawn, label="expected error, grey levels", extend="max")

# %%
# What else it can be
# -------------------
# The same call for text that was written over the picture. Nothing is changed but the input.

written = datasets.text_overlay(clean, random_state=1)
solution = recover_image(written, preset="fast")
figure = image_figure(written, solution.image, solution.outlier_probability, truth=clean)

# %%
# From the command line: ``twofold image photo.png --figure photo_figure.png``.
