"""``twofold reproduce``: every claim of the paper, computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli.options import Json
from twofold.cli.parts import check_data, check_names, kept_when_stopped, note_kept
from twofold.cli.terminal import complain, say, say_json
from twofold.experiments import NAMES

if TYPE_CHECKING:
    from twofold.benchmarks.results import Results
    from twofold.experiments.experiment import Check, Choice, Experiment
    from twofold.experiments.runner import Outcome
    from twofold.report import Section

PACKAGES = ("twofold", "torch", "numpy", "scipy", "scikit-learn", "scikit-image", "cvxpy")
PICTURES = "pictures"
REPORT = "report.html"


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help=f"{', '.join(NAMES)}; default: all.", show_default=False),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for data, figures and the report; what is found there is kept, and what is missing is "
            "computed.",
        ),
    ] = Path("twofold-reproduce"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes: ten to twenty minutes for all on two cores.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            envvar="TWOFOLD_DATA",
            show_envvar=True,
            show_default=False,
            help="Folder with images/NAME.png for F16, Peppers, Baboon, kodim03; without it pictures of scikit-image "
            "take their places.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            metavar="N",
            min=1,
            show_default=False,
            help="Parts computed at a time, with one thread each; default: one a core.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Compute anew what is chosen, though it is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Repeat the experiments of the paper and check its claims.

    Every finished part is stored in DIR/NAME.json at once: the same command goes on where it was stopped.
    DIR/NAME_*.png are figures, DIR/report.html has everything: what was expected, what was found, and whether it
    holds.

    The exit status is 1 if a computation broke off. A claim that does not hold is a result: the report says so.
    """
    from twofold.experiments import load
    from twofold.experiments.experiment import Choice
    from twofold.experiments.pages import lines, overview, summary
    from twofold.experiments.runner import checks_of

    chosen = _names(names)
    check_data(data, "images/")
    choice = Choice(quick, None if data is None else data.resolve(), (out / PICTURES).resolve())
    experiments = [load(name) for name in chosen]
    opened = [_open(experiment, quick, out, force) for experiment in experiments]
    said: dict[str, Any] = {}
    summaries: list[tuple[str, str]] = []
    sections, broken = [], []
    for experiment, results in zip(experiments, opened, strict=True):
        cells = experiment.cells(choice)
        outcome = _run(experiment, cells, results, jobs)
        broken += outcome.broken
        checks = checks_of(experiment, cells, results)
        files, part = _write(experiment, cells, results, checks, out, choice)
        sections.append(part)
        summaries.append((experiment.title, summary(checks)))
        said[experiment.name] = {
            "files": files, "computed": outcome.computed, "kept": outcome.kept,
            "checks": [{"holds": c.holds, "expected": c.expected, "found": c.found} for c in checks],
        }  # fmt: skip
        if not as_json:
            say(f"{experiment.title}: {summary(checks)}")
            for verdict, expected, found in lines(checks):
                say(f"  {verdict}: {expected}: {found}")
    page = _report([overview(summaries), *sections], opened, out, quick)
    if as_json:
        say_json({"experiments": said, "report": str(page), "broken": broken})
    else:
        say(f"\nReport: {page}")
    for reason in broken:
        complain(reason)
    if broken:
        raise typer.Exit(1)


def _names(names: list[str] | None) -> list[str]:
    check_names(names, NAMES, "experiment")
    return [name for name in NAMES if name in (names or NAMES)]


def _open(experiment: Experiment, quick: bool, out: Path, force: bool) -> Results:
    """The result file to go on with, after all checks of what is to be written."""
    from twofold.benchmarks.results import describe, open_results
    from twofold.io.files import plan

    endings = (".json", *(f"_{name}.png" for name in experiment.figures))
    targets = [out / f"{experiment.name}{ending}" for ending in endings]
    # Its own files: what of them is kept is said by the result file.
    plan([*targets, out / REPORT], force=True, new_folder=out)
    header = describe(experiment.name, quick, PACKAGES)
    header["machine"]["threads"] = {"torch": 1, "BLAS": 1}  # as every part has, whatever the machine gives
    results = open_results(targets[0], header, force=force, groups=(experiment.name,))
    if force:
        results.write()
    return results


def _run(experiment: Experiment, cells: list[Any], results: Results, jobs: int | None) -> Outcome:
    from twofold.cli.progress import PartsBar
    from twofold.experiments.runner import run

    with kept_when_stopped(results), PartsBar(experiment.name) as progress:
        outcome = run(cells, results, jobs=jobs, observer=progress)
    note_kept(results, outcome.kept, len(cells), "computes")
    return outcome


def _write(
    experiment: Experiment, cells: list[Any], results: Results, checks: list[Check], out: Path, choice: Choice
) -> tuple[list[str], Section]:
    """The figures of what is there; their names with the result file's, and the section of the report."""
    from twofold.experiments.pages import drawn, section
    from twofold.experiments.runner import records_of
    from twofold.io.files import write_together
    from twofold.plots import figure_writer

    results.write()
    records = records_of(cells, results)
    whole = len(records) == len(cells)
    figures = drawn(experiment, records, choice.folder) if whole else {}
    jobs = []
    for name, (figure, _) in figures.items():
        target = out / f"{experiment.name}_{name}.png"
        jobs.append((target, figure_writer(figure, target)))
    write_together(jobs, force=True)
    remarks = experiment.remarks(records) if whole else []
    part = section(experiment, checks, remarks, list(figures.values()))
    return [str(results.path), *(str(path) for path, _ in jobs)], part


def _report(sections: list[Section], opened: list[Results], out: Path, quick: bool) -> Path:
    from twofold.benchmarks.results import machine_line
    from twofold.io.files import write_together
    from twofold.report import Section, report_writer

    size = "small sizes (--quick)" if quick else "full sizes"
    closing = Section(
        "How this was made", [f"twofold reproduce, {size}. {machine_line(opened[0].header['machine'])}."]
    )
    target = out / REPORT
    title = "Double over-parameterization: the paper's claims, computed"
    write_together([(target, report_writer(title, [*sections, closing]))], force=True)
    return target
