"""Every error a user can meet, carrying its facts as fields; text is made of them in one place, `text()`."""

from __future__ import annotations

_CONTEXT = BaseException.__dict__["__context__"]


class PenstockError(Exception):
    """Something foreseeable went wrong.

    ``what`` happened, ``where`` (file, line, key, row, column), what was ``found``, what is ``allowed``,
    and the ``next_step``: a command to run or a thing to change. Only ``what`` is required.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", found: str = "", allowed: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.found, self.allowed, self.next_step = what, where, found, allowed, next_step

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.__dict__)

    @property
    def __context__(self) -> BaseException | None:  # type: ignore[override]
        """None for one that is raised `from None`: what it came of may hold a secret, and some who pickle errors
        (tblib, which Dask brings) take it along."""
        return None if self.__suppress_context__ else _CONTEXT.__get__(self)

    @__context__.setter
    def __context__(self, context: BaseException | None) -> None:
        _CONTEXT.__set__(self, context)

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """The message as a terminal shows it: one line of what happened, then a line for each fact."""
        facts = (("where", self.where), ("found", self.found), ("allowed", self.allowed), ("next", self.next_step))
        return "\n".join([self.what, *(f"  {name + ':':<9}{fact}" for name, fact in facts if fact)])


def _rebuild(kind: type[PenstockError], facts: dict[str, object]) -> PenstockError:
    error = kind.__new__(kind)
    Exception.__init__(error, facts["what"])
    error.__dict__.update(facts)
    return error


class ConfigError(PenstockError):
    """The project's YAML, its schema file or a setting is wrong."""

    exit_code = 2


class DataError(PenstockError):
    """The data are missing, damaged or not what the schema says."""

    exit_code = 4


class TrainingError(PenstockError):
    """Training could not give a usable model."""

    exit_code = 5


class PackagingError(PenstockError):
    """The Bento could not be built, or did not answer what the trained model answers."""

    exit_code = 6


class PlatformError(PenstockError):
    """A server that Penstock needs could not be started or reached."""

    exit_code = 7


class ClusterError(PlatformError):
    """The Dask cluster did not do the work: it was not reached, or its workers went away or cannot do it."""


class StorageError(PenstockError):
    """A file of Penstock's own could not be written or read back."""

    exit_code = 8


class UnreachableError(StorageError):
    """The store that a team shares did not answer for as long as it was waited for. What was made is kept here."""


class UnhealthyError(PenstockError):
    """`penstock doctor` found something that does not work."""

    exit_code = 8


class RolloutError(PenstockError):
    """A release did not come to serve: it failed, it could not be judged, or it may not.

    ``deployment`` is the `penstock.rollout.Deployment`, once a rollout was begun; ``outcome`` the training run's
    `penstock.candidate.Outcome`, where one went before.
    """

    exit_code = 9
    deployment: object = None
    outcome: object = None


class Rejected(PenstockError):
    """The candidate did not pass its gates. The record and the report are written all the same.

    ``outcome`` is the run's `penstock.candidate.Outcome`.
    """

    exit_code = 3
    outcome: object = None


class ReproductionError(PenstockError):
    """A release was made again from its record, and came out otherwise."""

    exit_code = 10


class ChecksFailed(PenstockError):
    """One of the checkout's own checks failed: its linters, types or tests."""

    exit_code = 11
