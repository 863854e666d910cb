"""Numbers in, numbers out: no files, no images, no encoders."""
