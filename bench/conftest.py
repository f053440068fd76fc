"""The option `--quick`, and the description of the machine in the results."""

from __future__ import annotations

import pytest

from bench import machine, roofline
from bench.cases import Case
from bench.rivals import RIVALS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("fastconv").addoption(
        "--quick", action="store_true", help="a dozen cases with little time each, under two minutes in all"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--quick`, select the benchmarks of the cases in that subset, and no other tests."""
    if not config.getoption("--quick"):
        return
    left_out = [item for item in items if not _is_quick(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_quick(item: pytest.Item) -> bool:
    if "benchmark" not in getattr(item, "fixturenames", ()):
        return False  # a test of the suite itself
    case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
    return case.quick if isinstance(case, Case) else True  # the others select in their parametrization


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LOAD] = machine.load()  # before the benchmarks add their own


@pytest.hookimpl(optionalhook=True)  # absent with `-p no:benchmark`
def pytest_benchmark_update_machine_info(machine_info: dict) -> None:
    """Add constants of the machine only: pytest-benchmark warns about differences between runs."""
    machine_info.update(machine.describe())
    machine_info["node"] = ""  # private


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict) -> None:
    """Add versions after all measurements, when all participating libraries have been imported."""
    output_json["machine_info"].update(
        {
            "load before": config.stash[_LOAD],
            "versions": machine.versions(),
            "roofline": roofline.measure(samples=3 if config.getoption("--quick") else 15),
            "left out": _left_out(),
        }
    )


_LOAD = pytest.StashKey[str]()


def _left_out() -> list[str]:
    missing = [f"{rival.name}: {rival.library} is not installed" for rival in _missing()]
    slow = [
        f"{rival.name}: cases of more than {rival.most_operations:.2g} operations, which would take a second or more"
        for rival in RIVALS
        if rival.most_operations < float("inf")
    ]
    return [*missing, *slow, "torch conv: types other than float32 where unfolding the input would take 2 GB"]


def _missing() -> list:
    return [rival for rival in RIVALS if not rival.is_installed()]
