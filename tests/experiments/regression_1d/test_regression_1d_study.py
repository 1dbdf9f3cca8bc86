"""The study's commands: a tiny run end to end, going on after a stop, tables and pages of stored results, bad input."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from experiments.regression_1d import __main__ as command
from experiments.regression_1d import figures, report, study
from experiments.regression_1d.settings import (
    METHODS,
    QUICK,
    RegressionSettings,
    RegressionUnit,
    main_units,
    make_method,
    study_units,
)
from experiments.regression_1d.study import (
    Result,
    load_results,
    load_weights,
    result_file,
    run_units,
    stored,
    write_card,
)
from ltr.ebm import methods as registered
from ltr.errors import exit_status

TINY = RegressionSettings(epochs=1, models=2, samples=4, train_size=64, grid=64)
CHANGES = ["epochs=1", "models=2", "samples=4", "train_size=64", "grid=64"]


def status(words: list[str]) -> int:
    return exit_status(lambda: command.main(words), resumes=True)


def run(*words: str, output: Path, changes: bool = True) -> int:
    settings = [word for change in CHANGES for word in ("--set", change)] if changes else []
    return status([*words, "--workers", "1", "--output", str(output), *settings])


def made_up(dataset: str, method: str, kl: tuple[float, ...], **changes: object) -> Result:
    return Result(RegressionUnit(dataset, method, RegressionSettings(models=len(kl), **changes)), kl, kl, 60.0, "plain")  # type: ignore[arg-type]


def test_whole_study_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "_CELLS", 48)
    assert run("run", "--samples", "2", output=tmp_path) == 0
    printed = capsys.readouterr().out
    results = load_results(tmp_path)
    assert len(results) == 2 * (len(METHODS) + len(METHODS) - 1)
    for result in results:
        assert len(result.kl) == 2 and all(value > 0 for value in result.kl)
        assert load_weights(tmp_path, result.unit).shape == (2, 591)
    for choice in METHODS.values():
        assert choice.label in printed
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["dataset"], row["method"]) for row in rows} == {(d, m) for d in ("set1", "set2") for m in METHODS}
    content = json.loads(result_file(tmp_path, results[0].unit).read_text())
    assert content["settings"]["epochs"] == 1 and content["versions"]["torch"]

    assert command.main(["table", "--output", str(tmp_path)]) == 0
    assert printed.split("results:")[0].strip() == capsys.readouterr().out.strip()
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results -->\nold\n<!-- end -->\nafter\n")
    card = tmp_path / "card.json"
    for _ in range(2):
        assert command.main(["docs", "--output", str(tmp_path), "--page", str(page), "--card", str(card)]) == 0
        text = page.read_text()
        assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
        assert text.count("| NCE+ ") == 4
        assert "(images/regression_1d_samples.png)" in text
    for name in ("densities_set1", "densities_set2", "samples"):
        assert (tmp_path / "images" / f"regression_1d_{name}.png").stat().st_size > 10_000
    capsys.readouterr()
    assert command.main(["table", "--output", str(card)]) == 0
    assert printed.split("results:")[0].strip() == capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", ["beta", "sigma", "label_noise"])
def test_smaller_studies_end_to_end(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("study", name, "--datasets", "set2", output=tmp_path) == 0
    results = load_results(tmp_path)
    assert len(results) == {"beta": 8, "sigma": 5, "label_noise": 15}[name]
    assert len({result.unit.name for result in results}) == len(results)
    if name == "label_noise":
        for result in results:
            assert (result.kl == result.kl_noisy) is (result.unit.settings.label_noise == 0)
    assert command.main(["figures", "--output", str(tmp_path)]) == 0
    assert f"regression_1d_{name}.png" in capsys.readouterr().out
    assert (tmp_path / "figures" / f"regression_1d_{name}.png").stat().st_size > 10_000


def test_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = main_units(TINY, ["set1"], ["nce", "mlis", "kldis"])
    first = run_units(units, tmp_path, kernel_name="plain")
    lost = result_file(tmp_path, units[1])
    lost.unlink()
    ran = []
    original = study.run_unit

    def spy(unit: RegressionUnit, *arguments: object) -> Result:
        ran.append(unit.name)
        return original(unit, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(study, "run_unit", spy)
    assert [result.kl for result in run_units(units, tmp_path, kernel_name="plain")] == [r.kl for r in first]
    assert ran == [units[1].name]
    run_units(units, tmp_path)
    assert len(ran) == 1


def test_two_workers_give_what_one_gives(tmp_path: Path) -> None:
    units = main_units(TINY, ["set2"], ["nce", "nceplus"])
    one = run_units(units, tmp_path / "one", workers=1)
    two = run_units(units, tmp_path / "two", workers=2)
    assert [result.kl for result in one] == [result.kl for result in two]


def test_a_stopped_run_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(unit: RegressionUnit, *arguments: object) -> Result:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "run_unit", stop)
    assert run("run", "--methods", "nce", output=tmp_path) == 130
    assert "the same command resumes" in capsys.readouterr().err


def test_results_of_other_settings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", "--methods", "nce", "--datasets", "set1", "--samples", output=tmp_path) == 0
    assert run("run", "--methods", "nce", "--set", "epochs=3", "--samples", output=tmp_path) == 0
    capsys.readouterr()
    code = status(["run", "--methods", "nce", "--output", str(tmp_path), "--set", "samples=4", "--samples"])
    assert code == 2
    assert (
        "was made with other settings (epochs, train_size, models, grid): choose another folder"
        in capsys.readouterr().err
    )


def test_a_broken_result_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unit = RegressionUnit("set1", "nce", TINY)
    run_units([unit], tmp_path)
    path = result_file(tmp_path, unit)
    for text in ("{", "[]", '{"dataset": "set1"}', path.read_text().replace('"nce"', '"nec"')):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"set1_nce_M4.json is no result of this study .*; delete it"):
            stored(tmp_path, unit)
    assert status(["table", "--output", str(tmp_path)]) == 2
    assert "did you mean 'nce'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--methods", "ncee"], "unknown method 'ncee'; did you mean 'nce'?"),
        (["run", "--datasets", "set3"], "unknown data set 'set3'; did you mean"),
        (["run", "--set", "epoch=3"], "did you mean 'epochs'?"),
        (["run", "--set", "beta=2"], "beta of NCEPlus must lie in [0, 1]"),
        (["run", "--set", "models=0"], "models must be positive, not 0"),
        (["run", "--seeds", "0"], "models must be positive, not 0"),
        (["run", "--workers", "0"], "--workers must be at least 1"),
        (["run", "--samples", "0"], "samples must be positive, not 0"),
        (["study", "betas"], "unknown study 'betas'; did you mean 'beta'?"),
        (["table"], "has no results; 'run' makes them"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status([*words, "--output", str(tmp_path / "none")]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match=r"page.md: has no place for a table; write '<!-- results -->'"):
        report.write_docs([made_up("set1", "nce", (0.1,))], tmp_path, page, tmp_path / "card.json")
    assert page.read_text() == "nothing"


def test_results_of_the_card_stay_on_the_page_beside_new_ones(tmp_path: Path) -> None:
    page, card = tmp_path / "page.md", tmp_path / "card.json"
    page.write_text("<!-- results -->\n<!-- end -->\n")
    write_card([made_up("set1", "nce", (0.1, 0.3)), made_up("set1", "kldis", (0.4, 0.6))], card)
    written = report.write_docs([made_up("set1", "nce", (0.2, 0.4))], tmp_path, page, card)
    assert {result.unit.method: result.kl for result in load_results(card)} == {"nce": (0.2, 0.4), "kldis": (0.4, 0.6)}
    assert "0.5000" in page.read_text() and "0.3000" in page.read_text() and "0.2000 ±" not in page.read_text()
    assert not any(path.name.startswith("regression_1d_densities") for path in written), "weights that are not there"


def test_summary_takes_the_five_best_and_counts_the_diverged() -> None:
    values = (0.7, 0.1, 0.3, math.nan, 0.2, 0.4, 0.5)
    summary = made_up("set1", "nce", values).summary()
    assert summary["best5"] == pytest.approx(0.3)
    assert summary["mean"] == pytest.approx(2.2 / 6)
    assert summary["std"] == pytest.approx(0.216024690, abs=1e-8)
    assert (summary["best"], summary["diverged"]) == (0.1, 1)
    none = made_up("set1", "nce", (math.nan, math.nan)).summary()
    assert math.isnan(none["best5"]) and none["diverged"] == 2


def test_verdict_and_order_of_the_table() -> None:
    better = made_up("set1", "kldis", (0.1, 0.2))
    near, far = made_up("set1", "nceplus", (0.15, 0.25)), made_up("set1", "nceplus", (0.5, 0.7))
    assert "NCE+ (0.2000) is within one standard deviation of it (0.0500 against 0.0707)" in report.verdict(
        [better, near]
    )
    assert "is more than one standard deviation of it" in report.verdict([better, far])
    assert "NCE+ is the best (0.2000)" in report.verdict([made_up("set1", "nce", (0.4,)), near])
    lines = report.table([far, made_up("set1", "sm", (math.nan,)), better]).splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == ["KLD-IS", "NCE+", "SM"]
    assert "–" in lines[2] and "1 of 1" in lines[2]


def test_paired_differences_are_taken_by_seed() -> None:
    one, other = made_up("set1", "nceplus", (0.5, 0.1, math.nan, 0.31)), made_up("set1", "nce", (0.4, 0.0, 0.2, 0.2))
    mean, half = report.paired_difference(one, other)
    assert mean == pytest.approx(0.31 / 3)
    assert half == pytest.approx(1.96 * 0.01 / 3, rel=1e-6)
    assert math.isnan(report.paired_difference(one, made_up("set1", "nce", (math.nan, 0.1)))[0])
    assert "NCE+ minus NCE, paired by seed, with 95 % interval: +0.1033 ± 0.0065." in report.verdict([one, other])


def test_noise_table_has_a_row_a_noise_and_a_column_a_beta() -> None:
    results = [
        made_up("set1", "nce", (0.2, 0.4), label_noise=0.1),
        made_up("set1", "nceplus", (0.1, 0.3), label_noise=0.1, beta=0.5),
        made_up("set1", "nce", (0.1, 0.2)),
        made_up("set1", "nceplus", (0.3, 0.2), beta=0.1),
    ]
    head, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in report.noise_table(results).splitlines()
    )
    assert head == ["noise", "density", "NCE, mean of all", "NCE+ 0.1 − NCE", "NCE+ 0.5 − NCE"]
    assert rows == [
        ["0", "clean", "0.1500", "+0.1000 ± 0.1960", ""],
        ["0.1", "clean", "0.3000", "", "-0.1000 ± 0.0000"],
        ["0.1", "noisy", "0.3000", "", "-0.1000 ± 0.0000"],
    ]


def test_settings_are_the_papers() -> None:
    settings = RegressionSettings()
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (75, 32, 1e-3)
    assert (settings.train_size, settings.models, settings.samples, settings.grid) == (2000, 20, 1024, 2048)
    assert settings.steps == 75 * 63
    shared = {"num_samples": 1024, "share_noise": True}
    assert make_method("mlis", "set1", settings) == registered.MLIS(noise_sigmas=(0.2, 1.6), **shared)
    assert make_method("kldis", "set1", settings) == registered.KLDIS(
        noise_sigmas=(0.2, 1.6), label_sigma=0.025, **shared
    )
    assert make_method("nce", "set2", settings) == registered.NCE(noise_sigmas=(0.1, 0.8), **shared)
    assert make_method("nceplus", "set2", settings) == registered.NCEPlus(noise_sigmas=(0.1, 0.8), beta=0.025, **shared)
    assert make_method("dsm", "set1", settings) == registered.DSM(sigma=0.2, **shared)
    assert make_method("dsm", "set2", settings) == registered.DSM(sigma=0.075, **shared)
    for steps in (1, 4, 8, 16):
        for dataset, length in (("set1", 0.05), ("set2", 0.0125)):
            chain = registered.MLMCMC(num_samples=1024, steps=steps, step_length=length)
            assert make_method(f"mlmcmc{steps}", dataset, settings) == chain
    assert {choice.objective for choice in METHODS.values()} == set(registered.METHODS)


def test_names_of_units_differ_and_the_quick_run_is_small() -> None:
    units = main_units(RegressionSettings(), samples=(1, 16))
    units += [unit for name in ("beta", "sigma", "label_noise") for unit in study_units(name, RegressionSettings())]
    assert len({unit.name for unit in units}) == len(units)
    quick = sum(unit.cost for unit in main_units(QUICK))
    assert quick < 0.005 * sum(unit.cost for unit in main_units(RegressionSettings()))
