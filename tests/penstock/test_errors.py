"""What an error carries along."""

from __future__ import annotations

import copyreg
import pickle
import traceback
import types

import pytest

from penstock.errors import PlatformError


def test_what_an_error_came_of_goes_nowhere_with_it(monkeypatch):
    pickling = pytest.importorskip("tblib.pickling_support")  # Dask brings it; it pickles contexts, too
    monkeypatch.setitem(copyreg.dispatch_table, PlatformError, pickling.pickle_exception)
    monkeypatch.setitem(copyreg.dispatch_table, types.TracebackType, pickling.pickle_traceback)
    errors = []
    for hidden in (True, False):
        try:
            try:
                raise ValueError("s3cret")
            except ValueError as error:
                raise PlatformError("It is away.") from (None if hidden else error)
        except PlatformError as error:
            errors.append(error)
    assert [b"s3cret" in pickle.dumps(error) for error in errors] == [False, True]
    assert ["s3cret" in "".join(traceback.format_exception(error)) for error in errors] == [False, True]
