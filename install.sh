#!/usr/bin/env bash
# Sets up a virtual environment for this checkout, then runs the demo or the tests. Safe to run again.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: ./install.sh COMMAND

  demo [ARGUMENT...]  set up, then track the demo clips: python -m pytracking.run_demo [ARGUMENT...]
  test                set up with the development tools, then run ruff, mypy and pytest with coverage
  setup [dev]         set up only; with 'dev' the development tools too

Needs Python 3.10 or newer and git. Everything goes into one virtual environment, and a second run is quick.

environment variables:
  PYTHON      the interpreter that creates the environment (default: the first new enough python3 on PATH)
  VENV        the environment's folder (default: .venv in the repository); an existing one is used, its torch kept
  TORCH_SPEC  what to hand to `pip install` for torch, for example 'torch==2.6.0' or the path of a wheel
TEXT
}

cpu_torch=2.13.0
cpu_index=https://download.pytorch.org/whl/cpu
torch_range='torch>=2.4'
coverage_floor=95
coverage_parts='ltr/ebm ltr/ops pytracking/analysis'

die() {
  printf 'install.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

die_with_log() {
  printf 'install.sh: the last lines of %s:\n' "$log" >&2
  tail -n 15 "$log" >&2
  die "$1"
}

# Shows that a long step is alive. The sleep must not hold the caller's pipe open after the script has ended.
tick() {
  trap - EXIT INT TERM
  while kill -0 "$$" 2>/dev/null; do
    sleep 5 >/dev/null 2>&1
    printf '.'
  done
}

stop_ticker() {
  if [ -n "$ticker" ]; then
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    ticker=''
  fi
}

# step LABEL COMMAND...: runs the command with its output in the log; returns its exit status.
step() {
  local label=$1 started=$SECONDS status=0
  shift
  printf '%s ' "$label"
  tick 2>/dev/null &
  ticker=$!
  "$@" >>"$log" 2>&1 || status=$?
  stop_ticker
  if [ "$status" -eq 0 ]; then
    printf ' done in %s s\n' "$((SECONDS - started))"
  else
    printf ' failed\n'
  fi
  return "$status"
}

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

find_python() {
  local candidate version older=''
  if [ -n "${PYTHON:-}" ]; then
    version=$(version_of "$PYTHON") || die "PYTHON=$PYTHON does not run; name a Python 3.10 or newer"
    new_enough "$PYTHON" || die "PYTHON=$PYTHON is Python $version; 3.10 or newer is needed"
    python=$PYTHON
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.11 python3.10 python3.14 python; do
    version=$(version_of "$candidate") || continue
    if new_enough "$candidate"; then
      python=$candidate
      return
    fi
    older=${older:-" ($candidate is $version)"}
  done
  die "no Python 3.10 or newer found$older; install one, or name it with PYTHON=/path/to/python3"
}

create_environment() {
  local output version
  if [ -d "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
    die "$venv is not a virtual environment, and it is not empty; choose another folder with VENV"
  fi
  if [ -f "$venv/pyvenv.cfg" ]; then
    version=$(version_of "$py") || die "the environment $venv is broken (its Python does not run); remove it and try again"
    new_enough "$py" || die "the environment $venv has Python $version; remove it, 3.10 or newer is needed"
    "$py" -m pip --version >/dev/null 2>&1 && return
    python=$py
  else
    find_python
  fi
  version=$(version_of "$python")
  "$python" -c 'import venv, ensurepip' 2>/dev/null ||
    die "Python $version has no venv or ensurepip module; on Debian or Ubuntu: apt install python${version%.*}-venv"
  output=$("$python" -m venv "$venv" 2>&1) || die "could not create $venv: $(printf '%s' "$output" | tail -n 1)"
  printf 'Created %s with Python %s\n' "$venv" "$version"
}

pip_install() { "$py" -m pip install --no-input --disable-pip-version-check "$@"; }

import_torch() { "$py" -c 'import torch; print(torch.__version__)' 2>/dev/null; }

sees_gpu() { "$py" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; }

# A '+cpu' version can never match a CUDA build. PyPI has none, so this asks first whatever pip is configured with
# (a local mirror or folder), then PyTorch's own index.
install_cpu_torch() {
  pip_install --retries 0 "torch==$cpu_torch+cpu" || pip_install --extra-index-url "$cpu_index" "torch==$cpu_torch+cpu"
}

install_torch() {
  local gpus version spec
  local advice="choose a build with TORCH_SPEC, for example: TORCH_SPEC='torch==2.6.0' ./install.sh $command"
  local any="take any build with: TORCH_SPEC='$torch_range' ./install.sh $command"
  gpus=$(nvidia-smi -L 2>/dev/null) || gpus=''
  case $gpus in GPU*) ;; *) gpus='' ;; esac
  if [ -n "${TORCH_SPEC:-}" ]; then
    read -r -a spec <<<"$TORCH_SPEC"
    step "Installing $TORCH_SPEC" pip_install "${spec[@]}" || die_with_log "TORCH_SPEC='$TORCH_SPEC' could not be installed"
  elif version=$(import_torch); then
    printf 'Keeping torch %s\n' "$version"
  elif [ -n "$gpus" ]; then
    printf 'NVIDIA driver found: the CUDA build of torch follows, a download of about 3 GB\n'
    step "Installing $torch_range" pip_install "$torch_range" || die_with_log "torch could not be installed; $advice"
  elif [ "$(uname -s)" = Linux ]; then
    step "No NVIDIA driver found: installing torch $cpu_torch for the CPU" install_cpu_torch ||
      die_with_log "no CPU build of torch $cpu_torch for this machine; $any"
  else
    step "Installing $torch_range" pip_install "$torch_range" || die_with_log "torch could not be installed; $advice"
  fi
  version=$(import_torch) || die "torch is installed in $venv but cannot be imported; $advice"
  if [ -n "$gpus" ] && ! sees_gpu; then
    printf 'install.sh: warning: torch %s cannot use the NVIDIA GPU; going on with the CPU, or %s\n' "$version" "$advice" >&2
  fi
  # importlib's version, unlike torch.__version__, is what pip compares a constraint with.
  "$py" -c 'import importlib.metadata as m; print("torch==" + m.version("torch"))' >"$venv/torch-constraint.txt"
}

# Changes when the requirements, the checkout's place, the interpreter or one of the two main packages do.
fingerprint() {
  {
    pwd
    cat pyproject.toml
    "$py" -I -c '
import importlib.metadata as metadata, sys
print(sys.version, *(d.name + d.version for n in ("torch", "ebm-tracking") for d in metadata.distributions(name=n)))'
  } | cksum
}

is_set_up() {
  local stamp
  [ -z "${TORCH_SPEC:-}" ] && [ -f "$venv/setup-stamp" ] && [ -x "$py" ] || return 1
  stamp=$(cat "$venv/setup-stamp")
  [ "$stamp" = "dev $(fingerprint)" ] || [ "$stamp" = "$1 $(fingerprint)" ]
}

# setup EXTRA: an environment with this checkout and the extra's packages.
setup() {
  if is_set_up "$1"; then
    printf 'Environment %s is up to date\n' "$venv"
    return
  fi
  create_environment
  : >"$log"
  # Editable installs from a pyproject.toml alone need pip 21.3.
  step 'Checking pip' pip_install 'pip>=21.3' || die_with_log 'pip cannot install packages; is there a network connection?'
  install_torch
  step "Installing ebm-tracking with its '$1' packages" pip_install -c "$venv/torch-constraint.txt" -e ".[$1]" ||
    die_with_log 'the packages could not be installed'
  printf '%s %s\n' "$1" "$(fingerprint)" >"$venv/setup-stamp"
  printf 'Ready: source %s/bin/activate\n' "$venv"
}

check_coverage() {
  local part percent status=0
  for part in $coverage_parts; do
    if percent=$("$py" -m coverage report --format=total --precision=1 --fail-under="$coverage_floor" --include="$part/*"); then
      printf 'coverage of %s: %s %%\n' "$part" "$percent"
    else
      printf 'coverage of %s: %s %%, under %s %%\n' "$part" "${percent%%$'\n'*}" "$coverage_floor"
      status=1
    fi
  done
  return "$status"
}

# Every check runs, so that one run shows all that is wrong.
run_tests() {
  local failed=''
  "$py" -m ruff check . || failed="$failed, ruff check"
  "$py" -m ruff format --check . || failed="$failed, ruff format --check"
  "$py" -m mypy || failed="$failed, mypy"
  # Two workers with several threads each on a small machine are much slower than with one.
  OMP_NUM_THREADS=1 "$py" -m pytest -n 2 --cov --cov-report= || failed="$failed, pytest"
  check_coverage || failed="$failed, coverage"
  [ -z "$failed" ] || die "failed: ${failed#, }"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  -h | --help | help)
    usage
    exit 0
    ;;
  demo) ;;
  test) [ $# -eq 0 ] || die "'test' takes no arguments, got: $*" 2 ;;
  setup) [ $# -eq 0 ] || [ "$*" = dev ] || die "'setup' takes no argument but 'dev', got: $*" 2 ;;
  '')
    usage >&2
    exit 2
    ;;
  *) die "unknown command '$command'; the commands are demo, test and setup (./install.sh --help)" 2 ;;
esac
case $(uname -s) in
  MINGW* | MSYS* | CYGWIN*) die 'Windows is supported through WSL: run this inside it' ;;
esac

caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
venv=${VENV:-$PWD/.venv}
case $venv in /*) ;; *) venv=$caller/$venv ;; esac
py=$venv/bin/python
log=$venv/install.log
python=''
ticker=''
trap stop_ticker EXIT
# Without these, bash would go on with its next step after pip has caught the interrupt.
trap 'exit 130' INT
trap 'exit 143' TERM
# Another checkout on PYTHONPATH would shadow this one's packages; pip's 'user' setting cannot work in an environment.
unset PYTHONPATH PYTHONHOME
export PIP_USER=0

case $command in
  demo)
    setup onnx,train
    [ "$PWD" = "$caller" ] || printf 'Running in %s\n' "$PWD"
    exec "$py" -m pytracking.run_demo "$@"
    ;;
  test)
    setup dev
    run_tests
    ;;
  setup) setup "${1:-onnx,train}" ;;
esac
