"""The option `--quick`, and what the results tell about the machine."""

from __future__ import annotations

import pytest

from bench import machine, roofline
from bench.cases import Case
from bench.rivals import RIVALS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("fastconv").addoption(
        "--quick", action="store_true", help="a dozen cases in little time each, under two minutes in all"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--quick`, only benchmarks, of the cases that are in that subset."""
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
    return case.quick if isinstance(case, Case) else True  # the others have chosen theirs already


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LOAD] = machine.load()  # before there is any of our own


@pytest.hookimpl(optionalhook=True)  # with `-p no:benchmark` nobody asks
def pytest_benchmark_update_machine_info(machine_info: dict) -> None:
    """What two runs on one machine have in common: pytest-benchmark complains of all that differs."""
    machine_info.update(machine.describe())
    machine_info["node"] = ""  # nobody's business


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict) -> None:
    """Asked for when all is measured, so that the versions are those of the libraries that took part."""
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
        f"{rival.name}: cases of more than {rival.most_operations:.2g} operations, which would take it a second or more"
        for rival in RIVALS
        if rival.most_operations < float("inf")
    ]
    return [*missing, *slow, "torch conv: types other than float32 where unfolding the input would take 2 GB"]


def _missing() -> list:
    return [rival for rival in RIVALS if not rival.is_installed()]
