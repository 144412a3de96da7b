from __future__ import annotations

import pytest

from penstock.diagnosis import Diagnosis, UnhealthyError, fail, failed_by, ok, require_healthy, size, warn
from penstock.errors import StorageError


def test_a_failure_is_an_error_that_names_the_checks_and_a_warning_is_none():
    well = Diagnosis(findings=(ok("disk", "enough"), warn("pins", "another", "uv sync")))
    require_healthy(well)
    ill = Diagnosis(findings=(*well.findings, fail("mlflow", "refused", "start it"), fail("mlflow", "and again", "x")))
    with pytest.raises(UnhealthyError) as error:
        require_healthy(ill)
    assert error.value.exit_code == 8
    assert error.value.found == "mlflow"


def test_the_table_has_a_line_for_each_finding_and_an_arrow_for_each_mend():
    text = str(Diagnosis(findings=(ok("disk", "enough"), warn("variables", "odd\nname", "unset it"))))
    assert text.splitlines() == [
        "  ok    disk       enough",
        "  warn  variables  odd name",
        "                   -> unset it",
        "",
        "1 ok, 1 warn, 0 fail",
    ]


def test_an_error_keeps_its_place_and_its_next_step():
    found = failed_by("ledgers", StorageError("A gap.", where="/l", found="number 3", next_step="put it back"))
    assert (found.level, found.found, found.mend) == ("fail", "A gap: /l: number 3", "put it back")


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e12, "2.5 TB")])
def test_bytes_are_told_as_people_read_them(count, text):
    assert size(count) == text
