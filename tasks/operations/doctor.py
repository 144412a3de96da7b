"""`penstock doctor`: looks at everything a run needs, side by side, and changes nothing.

Each check is a function that asks the world and returns findings; they stand in the modules named below. One that
does not answer in time is a finding of its own. Prefect, MLflow and DVC are not imported, unless a remote of DVC's is
elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from penstock.diagnosis import Diagnosis, Finding, failed_by, warn
from penstock.errors import PenstockError
from tasks.machine.redaction import without_secrets
from tasks.machine.settings import settings
from tasks.operations import (
    doctor_addresses,
    doctor_cluster,
    doctor_disk,
    doctor_environment,
    doctor_profile,
    doctor_records,
    doctor_serving,
    doctor_store,
)
from tasks.registry import ledger_store

SECONDS = 15.0  # that one check may take
Check = Callable[[], Iterable[Finding]]


def examine(write: bool = False) -> Diagnosis:
    """Run every check. ``write``: the DVC remote is written to as well: a small file, removed again.

    Raises ConfigError outside of a checkout.
    """
    settings()
    checks: dict[str, Check] = {
        "python": doctor_environment.python,
        "pins": doctor_environment.pins,
        "git": doctor_environment.git_repository,
        "environment": doctor_profile.profile,
        "variables": doctor_environment.variables,
        "secrets": doctor_records.secrets,
        "processors": doctor_environment.limits,
        "disk": doctor_disk.space,
        "files": doctor_disk.permissions,
        "leftovers": doctor_disk.leftovers,
        "clock": doctor_records.clock_skew,
        "configs": doctor_records.configs,
        "ledgers": doctor_records.ledgers,
        "datasets": doctor_disk.datasets,
        "shared store": lambda: doctor_store.shared_store(write),
        "dvc remote": lambda: doctor_addresses.dvc_remote(write),
        "dask": doctor_cluster.dask,
        "mlflow": doctor_addresses.mlflow,
        "prefect": doctor_addresses.prefect,
        "alerts": doctor_addresses.alerts,
        "ports": doctor_serving.ports_free,
        "serving": doctor_serving.serving_programs,
    }
    found: dict[str, list[Finding]] = {}
    threads = [threading.Thread(target=_run, args=(name, check, found), daemon=True) for name, check in checks.items()]
    end = time.monotonic() + SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = warn("", f"no answer within {SECONDS:.0f} s", "see what hangs: a network file system, a proxy, a firewall?")
    return Diagnosis(
        findings=tuple(
            finding for name in checks for finding in found.get(name, [late.model_copy(update={"check": name})])
        )
    )


def _run(name: str, check: Check, found: dict[str, list[Finding]]) -> None:
    try:
        with ledger_store.at_hand():  # a thread knows nothing of its caller's patience, and has little time
            found[name] = list(check())
    except PenstockError as error:
        found[name] = [failed_by(name, error)]
    except Exception as error:  # noqa: BLE001  # a check that breaks must not hide what the others found
        words = without_secrets(str(error)).strip() or type(error).__name__
        found[name] = [warn(name, f"could not be looked at: {words}", "penstock doctor again, with PENSTOCK_DEBUG=1")]
