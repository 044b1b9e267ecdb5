#!/usr/bin/env bash
# All that only a GPU can tell about the CUDA engine. Every part has a time limit, prints its lines as it goes, and leaves a log in OUT.
#
#   benchmarks/on_gpu.sh BUNDLE OUT [PART...]
#
# BUNDLE: what benchmarks/gpu_bundle.sh made. Parts, all if none is named, in this order (seconds allowed):
#   smoke (60)     a loss of each kind, and three on yelp2018, against numbers that the numba engine recorded; if it fails, the
#                  other parts are left out
#   bits (60)      the same bits in two runs, alone and in a crowd, also of large data
#   parity (150)   every loss against those numbers, then the engine's tests on the device, 8 at once, until 8 have failed
#   bench (90)     milliseconds per epoch and lane, evaluation, memory, launches, copy bandwidth, plain PyTorch
#   tune (120)     microseconds of each kernel for several sizes of its programs; an evaluation by kernel; what the host adds
#   study (240)    yelp_mml, 200 trials, confirmed against published CCL and BSL. It continues from RUNS=FILE, an earlier
#                  OUT/runs.tar.xz; runs/pieces.tsv in it lists the seconds of every piece
#   rows (240)     the MML paper's rows of MF, beside those of the numba engine in studies/results/replicate
#
# All of it takes 17 minutes at most. LIMIT=SECONDS: another limit for the parts of this call. JOBS=N: tests at once.
# PYTHON=command: another than python3.
set -uo pipefail
usage() { sed -n '4,19s/^# \{0,1\}//p' "$0"; exit 2; }
[ $# -ge 2 ] || usage
known="smoke bits parity bench tune study rows"
bundle=$(realpath "$1") out=$(realpath -m "$2") python=${PYTHON:-python3} runs=${RUNS:+$(realpath "$RUNS")}
shift 2
parts=${*:-$known}
for one in $parts; do
    [[ " $known " == *" $one "* ]] || { echo "unknown part '$one'; known: $known"; exit 2; }
done
for one in recorded.npz data.tar.xz; do
    [ -f "$bundle/$one" ] || { echo "no $one in $bundle: make the bundle with benchmarks/gpu_bundle.sh"; exit 2; }
done
[[ "$python" != */* ]] || python=$(realpath -s "$python")
cd "$(dirname "$0")/.." && mkdir -p "$out" || exit 2

work=$(mktemp -d)
keep_runs() { :; } # until there are any
trap 'keep_runs; rm -rf "$work"' EXIT
export PYTHONUNBUFFERED=1 COLUMNS=150
if compgen -G "$bundle/wheels/*.whl" >/dev/null; then
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$work/site" "$bundle"/wheels/*.whl || exit 2
    export PYTHONPATH=$work/site${PYTHONPATH:+:$PYTHONPATH}
fi
mkdir "$work/data" && tar -xJf "$bundle/data.tar.xz" -C "$work/data" || exit 2
"$python" -c '
import torch, triton
if not torch.cuda.is_available():
    raise SystemExit("torch finds no CUDA device: run this on a machine with a GPU")
print(torch.cuda.get_device_name(), "torch", torch.__version__, "triton", triton.__version__, "cuda", torch.version.cuda)' || exit 2

failed=0
child=
interrupted() { # Ctrl-C: timeout has a process group of its own, so that the terminal's signal does not reach it
    trap '' INT TERM
    [ -z "$child" ] || { kill -INT "$child" && wait "$child"; } 2>/dev/null
    echo "interrupted"
    exit 130
}
trap interrupted INT TERM
part() { # NAME LIMIT COMMAND...: run it if it was asked for, show and log what it prints, say how long it took
    local name=$1 limit=${LIMIT:-$2} started=$SECONDS status note=
    shift 2
    [[ " $parts " == *" $name "* ]] || return 0
    echo "== $name, at most $limit s"
    set -m # else a background command ignores INT
    timeout --signal=INT --kill-after=20 "$limit" "$@" > >(trap '' INT; tee "$out/$name.log") 2>&1 &
    child=$!
    set +m
    wait "$child"
    status=$? child=
    sleep 0.2 # tee writes the last lines
    [[ $status != 124 && $status != 137 ]] || note=", stopped at its limit"
    echo "== $name: exit $status after $((SECONDS - started)) s$note"
    [ "$status" -eq 0 ] || failed=1
    return "$status"
}
keep_runs() { # also when it was interrupted
    [[ " $parts " != *" study "* ]] || { tar -cJf "$out/runs.part" -C "$work" runs && mv "$out/runs.part" "$out/runs.tar.xz"; }
}
tests() { "$python" -m pytest -p no:cacheprovider -p no:benchmark -o filterwarnings=default "$@"; }
bits() { tests -x tests/trainers/engines/test_triton_engine.py -k "same_bits or does_not_depend"; }
parity() {
    "$python" -m benchmarks.gpu_parity check "$bundle/recorded.npz"
    local status=$?
    tests -n "${JOBS:-8}" --maxfail=8 tests/trainers/engines/test_triton_engine.py tests/hpo/test_lanes.py || status=1
    return $status
}
study() {
    local started=$SECONDS status
    "$python" -m hpo.run --study yelp_mml --trials 200 --engine triton --stale-after 0.001 \
        --data-dir "$work/data" --output "$work/runs" # no earlier machine is still there
    status=$?
    printf '%s\t%s\t%s\n' "$(date -u +%FT%TZ)" "$((SECONDS - started))" "$status" >>"$work/runs/pieces.tsv"
    return $status
}
rows() {
    "$python" -m hpo.replicate mml_mf --engine triton --data-dir "$work/data" --output "$work/rows" &&
        cat studies/results/replicate/mml_mf.yaml
}
export -f tests bits parity study rows
export python bundle work
[ -z "$runs" ] || tar -xJf "$runs" -C "$work" || exit 2
mkdir -p "$work/runs"

part smoke 60 "$python" -m benchmarks.gpu_parity check --kinds --data-dir "$work/data" "$bundle/recorded.npz" ||
    { echo "smoke failed: the other parts are left out"; exit 1; }
part bits 60 bash -c bits
part parity 150 bash -c parity
part bench 90 "$python" -m benchmarks.engines --device cuda --repeats "${REPEATS:-3}" --data-dir "$work/data"
part tune 120 "$python" -m benchmarks.cuda_tune --data-dir "$work/data"
part study 240 bash -c study
keep_runs
part rows 240 bash -c rows
exit $failed
