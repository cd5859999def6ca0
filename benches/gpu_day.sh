#!/usr/bin/env bash
# The first minutes on a real GPU: correctness, the peers' baseline, products, shapes, the tuner, shapes again.
#
#   benches/gpu_day.sh [DIR]        results go to DIR [default: gpu-day]; each step writes as it ends
#
# Needs no Rust and no network: the programs are those of PROXJET [default: target/release/proxjet] and, for
# correctness, TESTS [default: the newest target/release/deps/library-*]. On the build machine:
#
#   cargo build --release --bin proxjet && cargo test --release --workspace --no-run
#   strip -o proxjet target/release/proxjet
#   strip -o library "$(ls -t target/release/deps/library-* | grep -v '\.d$' | head -1)"
#   scp proxjet library benches/gpu_day.sh benches/peers/gpu.py HOST:      # then: PROXJET=./proxjet TESTS=./library ./gpu_day.sh
#
# MINUTES bounds the whole [default: 8]: a step that would begin later is left out, and says so. ENGINE=cpu and
# SHAPES="N,P,B …" try the script where there is no GPU.
set -u

out="${1:-gpu-day}"
here="$(cd "$(dirname "$0")" && pwd)"
proxjet="${PROXJET:-target/release/proxjet}"
tests="${TESTS:-$(ls -t target/release/deps/library-* 2>/dev/null | grep -v '\.d$' | head -1)}"
engine="${ENGINE:-gpu}"
shapes="${SHAPES:-4096,8192,256 8192,1024,4096 442,10,4096}"
end=$((SECONDS + 60 * ${MINUTES:-8}))
mkdir -p "$out"
: >"$out/steps.txt"
export PROXJET_CACHE="$out/cache" MESA_SHADER_CACHE_DIR="${MESA_SHADER_CACHE_DIR:-$out/mesa-cache}"
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-${TMPDIR:-/tmp}}"
[ -x "$proxjet" ] || { echo "no program at $proxjet: set PROXJET" >&2; exit 2; }

# step NAME LIMIT COMMAND…: its output in DIR/NAME.txt, its seconds and exit code in DIR/steps.txt and on the terminal
step() {
    local name="$1" limit="$2" begin=$SECONDS code
    shift 2
    if [ $((end - SECONDS)) -lt 5 ]; then
        echo "$name left out: no time" | tee -a "$out/steps.txt"
        return
    fi
    [ "$limit" -le $((end - SECONDS)) ] || limit=$((end - SECONDS))
    timeout "$limit" "$@" >"$out/$name.txt" 2>&1
    code=$?
    echo "$name $((SECONDS - begin)) s, exit code $code: $*" | tee -a "$out/steps.txt"
    # The cause of a failure, in case only the terminal is kept.
    [ $code -eq 0 ] || tail -n 15 "$out/$name.txt"
}

# bench NAME LIMIT ARGUMENTS…: a report in DIR/NAME.json
bench() {
    local name="$1" limit="$2"
    shift 2
    step "$name" "$limit" "$proxjet" bench --suite full --engine "$engine" --memory-budget 32 --repeat 1 \
        --out "$out/$name.json" "$@"
}

of_shapes=()
for shape in $shapes; do of_shapes+=(--shape "$shape"); done

step clocks 10 nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,power.limit,ecc.mode.current --format=csv
step doctor 20 "$proxjet" doctor
bench accuracy 60 --only accuracy
if [ ! -x "$tests" ]; then
    echo "tests left out: set TESTS" | tee -a "$out/steps.txt"
else
    PROXJET_REQUIRE_GPU=1 step tests 120 "$tests" gpu --test-threads=4
    PROXJET_TRUST_ENGINE=$engine PROXJET_TRUST=0..12 step trust 30 "$tests" trust:: --nocapture
fi
for peers in "$here/gpu.py" "$here/peers/gpu.py"; do
    if [ -f "$peers" ]; then step peers 80 "${PYTHON:-python3}" "$peers" "${of_shapes[@]}"; fi
done
bench products 60 --only products --no-tuner "${of_shapes[@]}"
bench shapes 100 --only shapes --no-tuner --precision f32 --tangents 0,1,4 "${of_shapes[@]}"
for shape in $shapes; do
    step "tuner-${shape//,/x}" 60 "$proxjet" tuner run --shape "$shape" --tangents 1 --precision f32
done
bench shapes-tuned 60 --only shapes --precision f32 --tangents 0,1,4 "${of_shapes[@]}"
bench lanes 20 --only lanes
