"""Every error that Sextant raises on purpose.

    SextantError
    ├── UsageError          a flag or argument that cannot be what was meant (exit status 2)
    ├── CollectionError     the folder is no collection, is locked, is newer than this program
    ├── VocabularyError     the vocabulary, or a file of expansions: says file, line and code
    ├── RuleError           a rule or filter: says the position and the nearest known name
    ├── ImageError          one image that cannot be read; becomes a `Skipped`, never ends a run
    ├── ModelError          an encoder that cannot be found, fetched, loaded or trusted
    ├── SqlError            a statement that was refused or that DuckDB rejects
    ├── ExchangeError       import and export: a file that does not fit
    └── MissingExtra        an optional package is needed; says the exact install line

A message says what happened, to which thing, why, and the flag or command that helps.
"""

from __future__ import annotations

FILES = "Allow more open files (ulimit -n) or close what has many open, then run the same command again"
GONE = "The folder is not there any more: if it was moved, name it where it is now, with -C"


def remedy(error: BaseException, usual: str) -> str:
    """What helps against a failure of the system: the usual, unless too many files are open or a folder went."""
    if "Too many open files" in str(error) or "TooManyOpenFiles" in str(error):
        return FILES
    return GONE if isinstance(error, FileNotFoundError) else usual


class SextantError(Exception):
    """The root: catch this to catch everything Sextant raises on purpose."""


class UsageError(SextantError):
    """A flag or argument that cannot be what was meant."""


class CollectionError(SextantError):
    """The folder is no collection, is locked, or was written by a newer program."""


class VocabularyError(SextantError):
    """The vocabulary, or a file of expansions, is wrong; the message names file, line and code or phrase."""


class RuleError(SextantError):
    """A rule or filter is wrong; the message names the position and the nearest known name."""


class ImageError(SextantError):
    """One image that cannot be read."""


class ModelError(SextantError):
    """An encoder that cannot be found, fetched, loaded or trusted."""


class SqlError(SextantError):
    """A statement that was refused, or that DuckDB rejects."""


class ExchangeError(SextantError):
    """A file to import or export that does not fit."""


class MissingExtra(SextantError):
    """An optional package is needed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional package. Install it: pip install 'sextant-images[{extra}]'")
        self.purpose, self.extra = purpose, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        return type(self), (self.purpose, self.extra)  # a worker's error is raised again in another process
