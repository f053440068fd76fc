"""Create tables and charts from the results of a run.

    python -m bench.report RESULTS.json [--brief] [--markdown FILE] [--charts FOLDER]

The results are the output of `pytest bench/ --benchmark-json=RESULTS.json`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import tables
from bench.results import Results, ResultsError, read

if TYPE_CHECKING:
    from bench.charts import Chart


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.report",
        description="Create tables and charts from the results of `pytest bench/ --benchmark-json=RESULTS.json`.",
        epilog="Without --brief and --markdown the whole report is printed.",
    )
    parser.add_argument("results", metavar="RESULTS.json", type=Path, help="the results of a run")
    parser.add_argument("--brief", action="store_true", help="print the short table for the README")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the whole report there")
    parser.add_argument("--charts", metavar="FOLDER", type=Path, help="draw charts into it; the report then shows them")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        results = read(options.results)
        shown: dict[str, list[str]] = {}
        if options.charts:
            # Relative links stay valid if report and charts are moved together.
            start = options.markdown.parent if options.markdown else Path()
            for chart in _draw(results, options.charts):
                link = Path(os.path.relpath(options.charts / chart.name, start)).as_posix()
                shown.setdefault(chart.group, []).append(f"![{chart.title}](<{link}>)")
        report = tables.report(results, lambda group: shown.get(group, []))
        if options.markdown:
            options.markdown.write_text(report, encoding="utf-8")
    except ResultsError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}; the target must be writable")
    except ImportError as error:
        return _fail(f"--charts: {error}; charts need Matplotlib")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not have a micro sign
    if options.brief:
        print(tables.brief(results), end="")
    elif not options.markdown:
        print(report, end="")
    return 0


def _draw(results: Results, folder: Path) -> list[Chart]:
    from bench import charts  # imported here: Matplotlib takes a second, and only charts need it

    folder.mkdir(parents=True, exist_ok=True)
    drawn = charts.draw(results)
    for chart in drawn:
        (folder / chart.name).write_bytes(chart.svg)
    return drawn


def _fail(message: str) -> int:
    print(f"bench.report: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
