"""The web: a gallery in the browser and an HTTP API over one or more collections; a face, like the command line.

Nothing here computes anything about images: a request becomes one call of `Collection`, its answer JSON or a page.
"""
