"""`python -m sextant`, the same as the command `sextant`."""

from __future__ import annotations

from sextant.cli import main

if __name__ == "__main__":
    main()
