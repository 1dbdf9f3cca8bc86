#!/usr/bin/env bash
# Train a compact recipe on a machine that is lent for minutes at a time, call after call.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: experiments/ship/on_gpu.sh COMMAND

  pack DATA FOLDER                 here: DATA (docs/data.md, 'lite') as FOLDER/data.tar, below 60 MB
  train FOLDER OUT SECONDS [ARGUMENT...]
                                   there: train for SECONDS at most, from FOLDER/run.part.* if it is there, and leave
                                   the run as OUT/run.part.* (15 MB each); ARGUMENTs are those of ltr.run_training,
                                   the recipe first (default: dimp_nceplus_lite)
  keep OUT FOLDER                  here: take the run that came back in OUT for the next call

Call pack once, then train and keep in turn until train says 'trained'; the network is then in FOLDER/run.part.*:
  cat FOLDER/run.part.* | tar x

environment variables:
  PYTHON     the interpreter (default: .venv/bin/python if it is there, else python3)
  MEGABYTES  largest size of data.tar (default: 60)
TEXT
}

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=$PWD
export PYTHONPATH=$here
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x .venv/bin/python ]; then
    PYTHON=$here/.venv/bin/python
  fi
fi

die() {
  printf 'on_gpu.sh: %s\n' "$1" >&2
  exit 2
}

train() {
  local folder=$1 out=$2 seconds=$3 status=0
  shift 3
  [ $# -gt 0 ] || set -- dimp_nceplus_lite
  [ -f "$folder/data.tar" ] || die "$folder/data.tar is not there: call pack first"
  # Not local: the trap needs it after this function.
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/data" "$work/runs"
  tar xf "$folder/data.tar" -C "$work/data"
  if compgen -G "$folder/run.part.*" >/dev/null; then
    cat "$folder"/run.part.* | tar x -C "$work/runs"
  fi
  # SIGTERM ends the step, saves, and exits with 75; what is left of the time is for saving.
  EBM_TRACKING_LITE=$work/data timeout --signal TERM --kill-after 120 "$seconds" \
    "$PYTHON" ltr/run_training.py "$@" --workspace "$work/runs" --keep 1 --checkpoint-interval 0 || status=$?
  case $status in
    0) printf 'trained\n' ;;
    75 | 124) printf 'stopped for now: call keep, then train again\n' ;;
    *) die "training ended with status $status" ;;
  esac
  compgen -G "$work/runs/*/checkpoint_*" >/dev/null || die "$seconds seconds were too few to save anything"
  mkdir -p "$out"
  rm -f "$out"/run.part.*
  tar c -C "$work/runs" --exclude '*.lock' --exclude tensorboard --exclude curves.png . | split -b 15000000 - "$out/run.part."
}

case ${1:-} in
  pack)
    [ $# -eq 3 ] || { usage >&2; exit 2; }
    "$PYTHON" -m experiments.ship.pack "$2" "$3/data.tar" --megabytes "${MEGABYTES:-60}"
    ;;
  train)
    [ $# -ge 4 ] || { usage >&2; exit 2; }
    train "${@:2}"
    ;;
  keep)
    [ $# -eq 3 ] || { usage >&2; exit 2; }
    compgen -G "$2/run.part.*" >/dev/null || die "$2 has no run.part.*"
    mkdir -p "$3"
    rm -f "$3"/run.part.*
    cp "$2"/run.part.* "$3"
    ;;
  -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
