"""install.sh: what it refuses, which torch it chooses, and that a second run is quick; nothing is downloaded.

A stub stands in for Python: it answers for `-m venv`, `-m pip` and `import torch` by its own rules and hands the rest
to the interpreter that runs the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="install.sh is a POSIX script")

STUB = """#!/bin/sh
case "$*" in
  *"import venv, ensurepip"*) [ ! -e "$STATE/no-ensurepip" ] ;;
  "-m venv "*)
    mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" && cp "$0" "$3/bin/python" ;;
  "-m pip --version") ;;
  "-m pip install "*)
    printf '%s\\n' "$*" >>"$STATE/pip"
    if [ -e "$STATE/refuse" ] && printf '%s' "$*" | grep -q -f "$STATE/refuse"; then
      echo "ERROR: no matching distribution"; exit 1
    fi
    case "$*" in *" torch"[=\\>]*) touch "$STATE/torch" ;; esac ;;
  *torch.cuda.is_available*) [ -e "$STATE/cuda" ] ;;
  *"import torch"*) [ -e "$STATE/torch" ] && echo 2.13.0 ;;
  *"m.version(\\"torch\\")"*) echo torch==2.13.0 ;;
  "-m pytracking.run_demo"*) printf 'demo ran with: %s\\n' "$*" ;;
  "-m ruff "* | "-m mypy" | "-m pytest "* | "-m coverage "*)
    printf '%s\\n' "$2 $3" >>"$STATE/checks"
    case "$2" in pytest) echo "7 passed in 0.01s" ;; coverage) echo 93.5 ;; esac
    if [ -e "$STATE/fail" ] && printf '%s' "$*" | grep -q -f "$STATE/fail"; then echo "one more line"; exit 1; fi ;;
  *) exec "$REAL" "$@" ;;
esac
"""


class Sandbox:
    """A copy of the checkout's install.sh and pyproject.toml, with a folder of stubs at the front of PATH."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "check out"
        self.state = folder / "caller"
        self.bin = folder / "bin"
        for path in (self.root, self.state, self.bin):
            path.mkdir()
        for name in ("install.sh", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root / name)
        (self.root / ".ci").mkdir()
        shutil.copy(ROOT / ".ci" / "run", self.root / ".ci" / "run")
        self.venv = self.root / ".venv"
        self.command("python3", STUB)
        self.command("nvidia-smi", "#!/bin/sh\nexit 9\n")
        self.command("uname", "#!/bin/sh\necho Linux\n")

    def command(self, name: str, text: str) -> Path:
        """Put an executable script on PATH."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def run(self, *arguments: str, script: str = "install.sh", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the checkout from another folder."""
        clean = {k: v for k, v in os.environ.items() if k not in ("VENV", "PYTHON", "TORCH_SPEC")}
        clean |= {"PATH": f"{self.bin}:{clean['PATH']}", "STATE": str(self.state), "REAL": sys.executable}
        return subprocess.run(
            [str(self.root / script), *arguments],
            env=clean | environment,
            cwd=self.state,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def installs(self) -> list[str]:
        """The requirements of every pip call, pip's own upgrade left out."""
        record = self.state / "pip"
        calls = record.read_text().splitlines() if record.exists() else []
        return [call.split("--disable-pip-version-check ")[1] for call in calls if "pip>=" not in call]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """The last line of stderr, after checking that the run failed."""
    assert result.returncode != 0
    return result.stderr.splitlines()[-1]


def test_help_names_every_command_and_variable(sandbox: Sandbox) -> None:
    result = sandbox.run("--help")
    assert result.returncode == 0
    for word in ("demo", "test", "setup", "PYTHON", "VENV", "TORCH_SPEC"):
        assert word in result.stdout


def test_without_a_command_it_shows_the_usage_and_fails(sandbox: Sandbox) -> None:
    result = sandbox.run()
    assert result.returncode == 2
    assert "usage:" in result.stderr


@pytest.mark.parametrize("arguments", [["dmeo"], ["test", "-k", "boxes"], ["setup", "everything"]])
def test_unknown_words_are_refused_before_anything_is_done(sandbox: Sandbox, arguments: list[str]) -> None:
    result = sandbox.run(*arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert not sandbox.venv.exists()


def test_a_python_that_is_too_old_is_named_with_its_version(sandbox: Sandbox) -> None:
    old = sandbox.command("python-old", '#!/bin/sh\ncase "$*" in *print*) echo 3.8.1 ;; *) exit 1 ;; esac\n')
    message = error_line(sandbox.run("setup", PYTHON=str(old)))
    assert "Python 3.8.1" in message and "3.10 or newer" in message
    assert not sandbox.venv.exists()


def test_an_old_python3_is_passed_over_for_a_newer_one(sandbox: Sandbox) -> None:
    sandbox.command("python3", '#!/bin/sh\ncase "$*" in *print*) echo 3.8.1 ;; *) exit 1 ;; esac\n')
    sandbox.command("python3.13", STUB)
    result = sandbox.run("setup")
    assert result.returncode == 0, result.stderr
    assert sandbox.venv.is_dir()


def test_a_python_that_does_not_run_is_an_error(sandbox: Sandbox) -> None:
    assert "PYTHON=/no/such/python does not run" in error_line(sandbox.run("setup", PYTHON="/no/such/python"))


def test_missing_venv_module_names_the_package_to_install(sandbox: Sandbox) -> None:
    (sandbox.state / "no-ensurepip").touch()
    message = error_line(sandbox.run("setup"))
    assert f"apt install python{sys.version_info.major}.{sys.version_info.minor}-venv" in message
    assert not sandbox.venv.exists()


def test_without_a_gpu_the_cpu_build_is_installed_and_constrains_the_rest(sandbox: Sandbox) -> None:
    result = sandbox.run("setup")
    assert result.returncode == 0, result.stderr
    constraint = sandbox.venv / "torch-constraint.txt"
    assert sandbox.installs() == ["--retries 0 torch==2.13.0+cpu", f"-c {constraint} -e .[onnx,train]"]
    assert constraint.read_text() == "torch==2.13.0\n"


def test_the_cpu_build_is_looked_for_on_pytorchs_index_next(sandbox: Sandbox) -> None:
    (sandbox.state / "refuse").write_text("retries 0 torch\n")
    result = sandbox.run("setup")
    assert result.returncode == 0, result.stderr
    assert sandbox.installs()[1] == "--extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0+cpu"


def test_no_cpu_build_anywhere_stops_with_advice_and_the_log(sandbox: Sandbox) -> None:
    (sandbox.state / "refuse").write_text("torch==2.13.0+cpu\n")
    result = sandbox.run("setup")
    assert "TORCH_SPEC=" in error_line(result)
    assert "no matching distribution" in result.stderr
    assert not (sandbox.venv / "setup-stamp").exists()


def test_a_gpu_selects_the_cuda_build_and_says_how_big_it_is(sandbox: Sandbox) -> None:
    sandbox.command("nvidia-smi", "#!/bin/sh\n[ \"$1\" = -L ] && echo 'GPU 0: Some GPU (UUID: GPU-0)'\n")
    (sandbox.state / "cuda").touch()
    result = sandbox.run("setup")
    assert result.returncode == 0, result.stderr
    assert sandbox.installs()[0] == "torch>=2.4"
    assert "3 GB" in result.stdout
    assert "warning" not in result.stderr


def test_a_gpu_that_torch_cannot_use_is_a_warning(sandbox: Sandbox) -> None:
    sandbox.command("nvidia-smi", "#!/bin/sh\necho 'GPU 0: Some GPU (UUID: GPU-0)'\n")
    result = sandbox.run("setup")
    assert result.returncode == 0
    assert "cannot use the NVIDIA GPU" in result.stderr


def test_a_driver_without_a_gpu_gives_the_cpu_build(sandbox: Sandbox) -> None:
    sandbox.command("nvidia-smi", "#!/bin/sh\necho 'No devices found.'\n")
    assert sandbox.run("setup").returncode == 0
    assert "+cpu" in sandbox.installs()[0]


def test_an_importable_torch_is_kept(sandbox: Sandbox) -> None:
    (sandbox.state / "torch").touch()
    result = sandbox.run("setup")
    assert result.returncode == 0, result.stderr
    assert "Keeping torch 2.13.0" in result.stdout
    assert len(sandbox.installs()) == 1 and "-e .[onnx,train]" in sandbox.installs()[0]


def test_torch_spec_is_installed_as_given(sandbox: Sandbox) -> None:
    result = sandbox.run("setup", TORCH_SPEC="torch==2.6.0 --index-url https://example.org/simple")
    assert result.returncode == 0, result.stderr
    assert sandbox.installs()[0] == "torch==2.6.0 --index-url https://example.org/simple"


def test_the_demo_gets_its_arguments_and_a_second_run_installs_nothing(sandbox: Sandbox) -> None:
    assert sandbox.run("demo").returncode == 0
    before = sandbox.installs()
    result = sandbox.run("demo", "--out", "some where")
    assert result.returncode == 0, result.stderr
    assert "demo ran with: -m pytracking.run_demo --out some where" in result.stdout
    assert f"Running in {sandbox.root}" in result.stdout, "relative paths that the demo prints start there"
    assert sandbox.installs() == before


def test_changed_requirements_or_other_extras_install_again(sandbox: Sandbox) -> None:
    sandbox.run("setup")
    sandbox.run("setup", "dev")
    assert sandbox.installs()[-1].endswith("-e .[dev]")
    count = len(sandbox.installs())
    sandbox.run("setup")
    assert len(sandbox.installs()) == count, "the development packages include the demo's"
    with (sandbox.root / "pyproject.toml").open("a") as file:
        file.write("# a change\n")
    sandbox.run("setup")
    assert len(sandbox.installs()) == count + 1


def test_an_interrupted_install_is_taken_up_again(sandbox: Sandbox) -> None:
    (sandbox.state / "refuse").write_text("train\n")
    assert "could not be installed" in error_line(sandbox.run("setup"))
    (sandbox.state / "refuse").unlink()
    result = sandbox.run("setup")
    assert result.returncode == 0, result.stderr
    assert "Keeping torch" in result.stdout


def test_venv_is_relative_to_the_callers_folder(sandbox: Sandbox) -> None:
    assert sandbox.run("setup", VENV="my env").returncode == 0
    assert (sandbox.state / "my env" / "setup-stamp").is_file()
    assert not sandbox.venv.exists()


def test_a_folder_that_is_no_environment_is_left_alone(sandbox: Sandbox) -> None:
    (sandbox.state / "thesis").mkdir()
    (sandbox.state / "thesis" / "chapter1.tex").write_text("words")
    assert "is not a virtual environment" in error_line(sandbox.run("setup", VENV="thesis"))
    assert os.listdir(sandbox.state / "thesis") == ["chapter1.tex"]


def test_an_environment_whose_python_is_gone_is_named(sandbox: Sandbox) -> None:
    sandbox.run("setup")
    (sandbox.venv / "bin" / "python").unlink()
    assert "is broken" in error_line(sandbox.run("setup"))


def test_windows_is_pointed_to_wsl(sandbox: Sandbox) -> None:
    sandbox.command("uname", "#!/bin/sh\necho MINGW64_NT-10.0\n")
    assert "WSL" in error_line(sandbox.run("setup"))


def test_macos_gets_the_plain_build(sandbox: Sandbox) -> None:
    sandbox.command("uname", "#!/bin/sh\necho Darwin\n")
    assert sandbox.run("setup").returncode == 0
    assert sandbox.installs()[0] == "torch>=2.4"


def test_the_check_command_runs_every_check_and_ignores_the_callers_settings(sandbox: Sandbox) -> None:
    sandbox.command("chromedriver", "#!/bin/sh\n")
    result = sandbox.run(script=".ci/run", VENV="elsewhere", PYTHON="/no/such/python")
    assert result.returncode == 0, result.stderr
    assert (sandbox.venv / "setup-stamp").is_file()
    assert "7 passed" in result.stdout
    checks = (sandbox.state / "checks").read_text().splitlines()
    assert checks == ["ruff check", "ruff format", "mypy ", "pytest -n", *["coverage report"] * 3]


def test_the_check_command_goes_on_where_no_browser_can_be_installed(sandbox: Sandbox) -> None:
    # A PATH without the machine's own browser.
    for name in (
        "bash",
        "cat",
        "cksum",
        "cp",
        "dirname",
        "env",
        "grep",
        "mkdir",
        "sh",
        "sleep",
        "tail",
        "timeout",
        "touch",
    ):
        (sandbox.bin / name).symlink_to(str(shutil.which(name)))
    sandbox.command("id", "#!/bin/sh\necho 0\n")
    sandbox.command("apt-get", f"#!/bin/sh\necho $* >>'{sandbox.state}/apt'\nexit 100\n")
    result = sandbox.run(script=".ci/run", PATH=str(sandbox.bin))
    assert result.returncode == 0, result.stderr
    assert "its tests are skipped" in result.stderr and "7 passed" in result.stdout
    assert (sandbox.state / "apt").read_text() == "update -qq\n"


@pytest.mark.parametrize(("failing", "named"), [("ruff format", "ruff format --check"), ("mypy", "mypy")])
def test_a_failing_check_fails_the_run_after_the_others(sandbox: Sandbox, failing: str, named: str) -> None:
    (sandbox.state / "fail").write_text(failing)
    result = sandbox.run("test")
    assert error_line(result) == f"install.sh: failed: {named}"
    assert "7 passed" in result.stdout


def test_low_coverage_of_one_part_fails_the_run(sandbox: Sandbox) -> None:
    (sandbox.state / "fail").write_text("ltr/ops")
    result = sandbox.run("test")
    assert error_line(result) == "install.sh: failed: coverage"
    assert "coverage of ltr/ops: 93.5 %, under 95 %" in result.stdout
    assert "coverage of ltr/ebm: 93.5 %\n" in result.stdout
