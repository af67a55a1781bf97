"""Files of images, matrices and videos. Every output is written whole or not at all."""
