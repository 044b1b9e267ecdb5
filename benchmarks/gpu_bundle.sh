#!/usr/bin/env bash
# What benchmarks/on_gpu.sh needs on a machine without network: wheels for its Python, the data, and the numba engine's numbers.
#
#   benchmarks/gpu_bundle.sh DATA [BUNDLE]
#
# DATA: a folder with yelp2018/ and gowalla/. BUNDLE: the folder that is made, .gpu_bundle in the checkout if none is named; git
# ignores that one. VERSION=3.12: the Python over there. It should have torch, triton, numba, scipy, pandas, pytest-xdist and
# hypothesis; WHEELS="name name" lists what it lacks.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '4,8s/^# \{0,1\}//p' "$0"; exit 2; }
data=$(realpath "$1") root=$(realpath "$(dirname "$0")/..") python=${PYTHON:-python3}
bundle=$(realpath -m "${2:-$root/.gpu_bundle}") version=${VERSION:-3.12}
[[ "$python" != */* ]] || python=$(realpath -s "$python")
for one in yelp2018 gowalla; do
    [ -d "$data/$one" ] || { echo "no $one in $data"; exit 2; }
done
cd "$root" && rm -rf "$bundle/wheels" && mkdir -p "$bundle/wheels"

wheels=${WHEELS-optuna alembic mako sqlalchemy greenlet colorlog pydantic pydantic-core annotated-types typing-inspection typing-extensions
    ruamel.yaml pooch platformdirs plotly optuna-dashboard bottle}
platforms=()
for libc in 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${libc}_x86_64"); done
# shellcheck disable=SC2086
[ -z "$wheels" ] || "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
    "${platforms[@]}" --platform manylinux2014_x86_64 --dest "$bundle/wheels" -c constraints.txt $wheels
tar -cJf "$bundle/data.tar.xz" -C "$data" yelp2018 gowalla
"$python" -m benchmarks.gpu_parity record "$bundle/recorded.npz" --data-dir "$data"
du -sh "$bundle"
