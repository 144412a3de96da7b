"""What Prefect makes of the flows' parameters: their types stand in other files than the wrapper that it is given."""

import importlib
import inspect
import pkgutil

import pytest

import flows
from flows.lifecycle import DeferredFlow


def found() -> dict[str, object]:
    modules = [importlib.import_module(f"flows.{each.name}") for each in pkgutil.iter_modules(flows.__path__)]
    every = {name: value for module in modules for name, value in vars(module).items() if hasattr(value, "fn")}
    return {name: each for name, each in every.items() if inspect.isfunction(each.fn) and _is_flow(each)}


def _is_flow(each: object) -> bool:
    from prefect import Flow

    return isinstance(each, DeferredFlow | Flow)


FLOWS = found()


def test_all_of_them_were_found():
    assert {"train", "deploy", "score", "monitor", "bless", "rollback"} <= FLOWS.keys()


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_a_flow_takes_what_its_function_takes(name):
    each = getattr(FLOWS[name], "prefect_flow", FLOWS[name])
    wanted = each.parameters.required or []
    assert each.validate_parameters(dict.fromkeys(wanted, "x")).keys() >= set(wanted)
    kinds = {key: value["type"] for key, value in each.parameters.properties.items() if "type" in value}
    assert kinds, "no parameter has a type that the UI could show"
