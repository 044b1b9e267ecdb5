#!/usr/bin/env bash
# Everything about the CUDA engine that only a GPU can tell, in one call; a log for each part, and the runs, lie in OUT.
#
#   benchmarks/on_gpu.sh DATA OUT [PART...]
#
# DATA: a folder with yelp2018/ and gowalla/, or a .tar.xz of it. Parts, all if none is named, in this order:
#   parity     the engine's tests on the device: every loss, 1,000 steps, lanes, ranks
#   bench      milliseconds per epoch and lane, evaluation, memory, the two limits, plain PyTorch
#   rows       the MML paper's rows of MF, beside those of the numba engine in studies/results/replicate
#   study      yelp_mml, 200 trials, confirmed against published CCL and BSL; run again with the same OUT, it continues
#
# WHEELS=folder: wheels to use beside what is installed, on a machine without network. RUNS=folder: an earlier OUT/runs to go on
# from. PYTHON=command: another than python3.
set -uo pipefail
[ $# -ge 2 ] || { sed -n '4,14s/^# \{0,1\}//p' "$0"; exit 2; }
known="parity bench rows study"
data=$(realpath "$1") out=$(realpath -m "$2") python=${PYTHON:-python3}
wheels=${WHEELS:+$(realpath "$WHEELS")} runs=${RUNS:+$(realpath "$RUNS")}
shift 2
parts=${*:-$known}
for one in $parts; do
    [[ " $known " == *" $one "* ]] || { echo "unknown part '$one'; known: $known"; exit 2; }
done
[[ "$python" != */* ]] || python=$(realpath -s "$python")
cd "$(dirname "$0")/.." && mkdir -p "$out" || exit 2

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if [ -n "$wheels" ]; then
    "$python" -m pip install --quiet --no-index --no-deps --target "$site" "$wheels"/*.whl || exit 2
    export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
fi
if [ -f "$data" ]; then
    tar -xJf "$data" -C "$site" || exit 2
    data=$(dirname "$(find "$site" -type d -name yelp2018 | head -1)")
fi
[ -d "$data/yelp2018" ] || { echo "no yelp2018 in $data"; exit 2; }
if [ -n "$runs" ]; then
    mkdir -p "$out/runs" && cp -r "$runs"/. "$out/runs"/ || exit 2
fi
"$python" -c '
import torch, triton
if not torch.cuda.is_available():
    raise SystemExit("torch finds no CUDA device: run this on a machine with a GPU")
print(torch.cuda.get_device_name(), "torch", torch.__version__, "triton", triton.__version__)' || exit 2

failed=0
part() { # NAME COMMAND...: run it if it was asked for, log it, say how long it took
    local name=$1 started=$SECONDS status
    shift
    [[ " $parts " == *" $name "* ]] || return 0
    "$@" >"$out/$name.log" 2>&1
    status=$?
    echo "$name: exit $status after $((SECONDS - started)) s; its log ends:"
    tail -n 40 "$out/$name.log"
    [ $status -eq 0 ] || failed=1
}
rows() {
    "$python" -m hpo.replicate mml_mf --engine triton --data-dir "$data" --output "$out/rows" && cat studies/results/replicate/mml_mf.yaml
}
part parity "$python" -m pytest -o filterwarnings=default tests/trainers/engines/test_cuda.py tests/hpo/test_lanes.py
part bench "$python" -m benchmarks.engines --device cuda --losses mml,ccl,bsl --data-dir "$data"
part rows rows
part study "$python" -m hpo.run --study yelp_mml --trials 200 --engine triton --data-dir "$data" --output "$out/runs"
exit $failed
