#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a machine with a GPU is asked for.
#
#   benchmarks/gpu/run.sh pack            build/gpu-pack.tar.xz: everything below, at most 60 MiB
#   benchmarks/gpu/run.sh samples         every op's samples, the GPU against the CPU
#   benchmarks/gpu/run.sh e2e             the four networks, eager and graph, losses beside the CPU's, and memory
#   benchmarks/gpu/run.sh bench           their speed, beside PyTorch's where it is installed
#   benchmarks/gpu/run.sh sanitize        compute-sanitizer on the samples, as many as ten minutes allow
#
# RUTILE_GPU_DEVICE=fake runs samples, e2e and bench on the tests' pretended device of a build, to try this script: it
# claims nothing, and its table goes to standard output.
#
# Each of the last four stops within ten minutes, appends a dated table to docs/gpu_log.md and fails where something in
# it failed: a sample, a program, an error found, a loss that is not the CPU's to one in a hundred. Run them from the tree,
# or from the folder into which the pack was extracted (then the table is in gpu_log.md there). cuDNN and cuBLAS are
# found in nvidia-* packages, inside an installed PyTorch, or by the loader. Without a GPU nothing is run or claimed.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mode="${1:-}"
scratch="$(mktemp -d)"
trap '[ ! -f "$scratch/log" ] || cat "$scratch/log"; rm -rf "$scratch"' EXIT
limit_mib=60
device="${RUTILE_GPU_DEVICE:-cuda}"
plugin="librutile_${device%%:*}.so"

usage() { sed -n '4,10p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,3\}//'; exit 2; }

if [ -d "$here/../../kernels" ]; then root="$(cd "$here/../.." && pwd)"; log="$root/docs/gpu_log.md"
else root="$here"; log="$here/gpu_log.md"; fi
[ "$device" = cuda ] || log="$scratch/log"

library_of() { ldd "$build/lib/librutile.so" | awk -v name="$1" '$1 == name { print $3 }'; }

pack() {
  local build="$root/build/gpu" stage="$root/build/gpu-pack"
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DRUTILE_CUDA=ON -DRUTILE_ONEDNN=OFF \
    -DRUTILE_PYTHON=OFF -DRUTILE_BENCHMARKS=OFF -DRUTILE_TESTS=ON -DRUTILE_APPS=ON >/dev/null
  cmake --build "$build" --target rutile rutile_cuda test_gpu mlp lenet resnet50 gpt
  rm -rf "$stage" && mkdir -p "$stage/bin" "$stage/lib/older"
  cp "$build"/bin/tests/test_gpu "$build"/bin/{mlp,lenet,resnet50,gpt} "$stage/bin/"
  cp -a "$build"/lib/librutile.so* "$build"/lib/librutile_cuda.so "$stage/lib/"
  cp -L "$(library_of libgomp.so.1)" "$stage/lib/"
  cp -L "$(library_of libstdc++.so.6)" "$(library_of libgcc_s.so.1)" "$stage/lib/older/"
  find "$stage" -type f -exec strip {} +
  cp "$here/run.sh" "$here/torch_side.py" "$stage/"
  git -C "$root" rev-parse HEAD >"$stage/commit" 2>/dev/null || true
  tar -C "$stage" -cJf "$root/build/gpu-pack.tar.xz" .
  local mib=$(( ($(stat -c %s "$root/build/gpu-pack.tar.xz") + 1048575) / 1048576 ))
  echo "build/gpu-pack.tar.xz: $mib MiB"
  [ "$mib" -le "$limit_mib" ] || { echo "more than $limit_mib MiB"; exit 1; }
}

# Programs and libraries: those of the pack, else of a build.
find_programs() {
  if [ -d "$root/bin" ]; then bin="$root/bin"; tests="$root/bin"; lib="$root/lib"
  else
    for build in gpu release; do
      bin="$root/build/$build/bin"; tests="$bin/tests"; lib="$root/build/$build/lib"
      [ -f "$lib/$plugin" ] && [ -x "$tests/test_gpu" ] && break
    done
  fi
  for file in "$lib/$plugin" "$tests/test_gpu" "$bin"/{mlp,lenet,resnet50,gpt}; do
    [ -f "$file" ] || { echo "$file is missing: 'benchmarks/gpu/run.sh pack' first"; exit 1; }
  done
  export RUTILE_TEST_ROOT="$root" LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  # A machine with an older compiler's libraries takes the pack's; a newer one's serve PyTorch too.
  if [ -d "$lib/older" ] && ldd "$lib/librutile.so" 2>&1 | grep -qE 'GLIBCXX|CXXABI|GCC_|(stdc\+\+|gcc_s).*not found'; then
    LD_LIBRARY_PATH="$lib/older:$LD_LIBRARY_PATH"
  fi
  # Folders with NVIDIA's libraries in Python's packages, PyTorch's own among them.
  RUTILE_CUDA_LIBRARIES="$(python3 - <<'PY' 2>/dev/null || true
import glob, os, site, sys
roots = [p for p in sys.path + site.getsitepackages() if os.path.isdir(p)]
found = [d for r in roots for d in glob.glob(r + "/nvidia/*/lib") + glob.glob(r + "/torch/lib") if os.path.isdir(d)]
print(":".join(dict.fromkeys(found)))
PY
)${RUTILE_CUDA_LIBRARIES:+:$RUTILE_CUDA_LIBRARIES}"
  export RUTILE_CUDA_LIBRARIES
}

need_gpu() {
  [ "$device" = cuda ] || return 0
  if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo "no NVIDIA GPU here (nvidia-smi sees none): nothing was run, nothing is claimed"
    exit 0
  fi
}

# heading <mode>: what the table below was made with.
heading() {
  deadline=$((SECONDS + 570))
  { echo; echo "## $(date -u +%Y-%m-%d) $1"; echo
    if [ "$device" = cuda ]; then
      nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | sed 's/^/- GPU, driver, memory: /'
    else echo "- no GPU: the tests' device $device"; fi
    echo "- commit: $(cat "$root/commit" 2>/dev/null || git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)"
    echo; } >>"$log"
}

# within <seconds>: so many, or as many as are left.
within() {
  local left=$((deadline - SECONDS))
  [ "$left" -gt 1 ] || left=1
  echo $(($1 < left ? $1 : left))
}

# number <pattern> <file>: the last number behind it, 0 without.
number() { { grep -oE "^$1 [0-9]+" "$2" || echo 0; } | tail -1 | grep -oE '[0-9]+$'; }

# sample_row <name> <argument>...: a run of the samples as a row of the table.
sample_row() {
  local name="$1" out="$scratch/out" status=0; shift
  RUTILE_GPU_DEVICE="$device" timeout "$(within 570)" "$tests/test_gpu" --gtest_brief=1 "$@" >"$out" 2>&1 || status=$?
  echo "| $name | $(number '\[==========\]' "$out") | $(number '\[  PASSED  \]' "$out")" \
       "| $(grep -cE '^\[  FAILED  \] Gpu' "$out" || true) | $(number '\[  SKIPPED \]' "$out") | $status |" >>"$log"
  grep -E '^\[  FAILED  \] Gpu' "$out" | sort -u | sed 's/^/- /' >>"$scratch/failed" || true
  tail -40 "$out"
  return "$status"
}

samples() {
  heading samples
  local worst=0
  : >"$scratch/failed"
  { echo "| samples | tests | passed | failed | skipped | exit |"; echo "| --- | --- | --- | --- | --- | --- |"; } >>"$log"
  sample_row all || worst=1
  # Their matrices are small: otherwise they would stay with our own kernels.
  RUTILE_CUSOLVER_FROM=0 sample_row "by cuSOLVER" \
    --gtest_filter='*.cholesky*:*.lu*:*.inverse:*.solve*:*.qr:*.eig*:*.svd*:*.lstsq:*.pinv:*.det:*.slogdet' || worst=1
  sort -u "$scratch/failed" >>"$log"
  return "$worst"
}

# step <seconds> <program> <device> <mode> <extra>...: a run on synthetic data, its numbers in $scratch/json.
step() {
  local limit="$1" program="$2" where="$3" how="$4" status=0; shift 4
  rm -f "$scratch/json"
  timeout "$(within "$limit")" "$bin/$program" --dataset synthetic --device "$where" --mode "$how" --seed 1 --json "$scratch/json" "$@" \
    >/dev/null 2>"$scratch/err" || status=$?
  [ "$status" != 124 ] || echo "took too long" >>"$scratch/err"
  return "$status"
}
# value <key>: of the last step.
value() { grep -oE "\"$1\": *[^,}]+" "$scratch/json" | sed 's/^[^:]*: *//'; }
# apart <a> <b>: how far b is from a; "-" where one is no number.
apart() {
  awk -v a="$1" -v b="$2" 'BEGIN { n = "^-?[0-9.]+([eE][-+]?[0-9]+)?$"
    if (a !~ n || b !~ n || a + 0 == 0) print "-"; else printf "%.1e", (b - a) / (a < 0 ? -a : a) }'
}
# near <apart>: whether two losses are the same as far as roundings leave them.
near() { [ "$1" != - ] && awk -v d="$1" 'BEGIN { exit !(d <= 0.01 && d >= -0.01) }'; }
reason() { tail -1 "$scratch/err" | cut -c1-120 | tr '|' '/'; }

e2e() {
  heading e2e
  { echo "| network | mode | last loss, CPU | last loss, $device | relative difference |"; echo "| --- | --- | --- | --- | --- |"; } >>"$log"
  local worst=0
  for program in mlp lenet resnet50 gpt; do
    for how in eager graph; do
      local losses=()
      for where in cpu "$device"; do
        if step 70 "$program" "$where" "$how" --steps 5 --batch-size 4 --lr 1e-4; then losses+=("$(value final_loss)")
        else losses+=("failed: $(reason)"); fi
      done
      local difference
      difference="$(apart "${losses[@]}")"
      near "$difference" || worst=1
      echo "| $program | $how | ${losses[0]} | ${losses[1]} | $difference |" | tee -a "$log"
    done
  done
  flat || worst=1
  return "$worst"
}

# Memory does not grow: the peak of few steps is that of many.
flat() {
  local few=20 many=2000 worst=0
  [ "$device" = cuda ] || { few=3; many=30; }
  { echo; echo "| network | mode | device MiB after $few steps | after $many |"; echo "| --- | --- | --- | --- |"; } >>"$log"
  for how in eager graph; do
    local peaks=()
    for steps in "$few" "$many"; do
      if step 60 lenet "$device" "$how" --steps "$steps" --batch-size 4; then peaks+=("$(value device_peak_mb)")
      else peaks+=("failed: $(reason)"); fi
    done
    [ -n "${peaks[0]}" ] && [ "${peaks[0]}" = "${peaks[1]}" ] && [[ "${peaks[0]}" != failed* ]] || worst=1
    echo "| lenet | $how | ${peaks[0]} | ${peaks[1]} |" | tee -a "$log"
  done
  return "$worst"
}

bench() {
  heading bench
  { echo "| network | batch | precision | mode | per second | device MiB | PyTorch eager | torch.compile |"
    echo "| --- | --- | --- | --- | --- | --- | --- | --- |"; } >>"$log"
  local quick="" worst=0
  [ "$device" = cuda ] || quick=1
  while read -r program batch steps; do
    [ -z "$quick" ] || { batch=2; steps=1; }
    local torch
    torch="$(timeout "$(within 120)" python3 "$here/torch_side.py" "$program" "$batch" 2>/dev/null || echo "- -")"
    for how in eager graph; do
      local ours="failed" memory="-"
      if step 60 "$program" "$device" "$how" --steps "$steps" --batch-size "$batch" --precision bf16; then
        ours="$(value items_per_second)"; memory="$(value device_peak_mb)"
      else echo "$program $how: $(reason)"; worst=1; fi
      echo "| $program | $batch | bf16 | $how | $ours | $memory | ${torch% *} | ${torch#* } |" | tee -a "$log"
    done
  done <<LIST
mlp 256 200
lenet 256 200
resnet50 256 30
gpt 16 30
LIST
  return "$worst"
}

# The samples in parts, as many of them as the time allows.
sanitize() {
  command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not installed"; return 1; }
  heading sanitize
  { echo "| tool | parts of the samples | exit | errors |"; echo "| --- | --- | --- | --- |"; } >>"$log"
  local out="$scratch/out" worst=0 parts=20
  for tool in memcheck racecheck; do
    local end=$((SECONDS + 280)) ran=0 exit=0 errors=0
    for ((part = 0; part < parts; ++part)); do
      local status=0 found
      [ "$SECONDS" -lt "$end" ] || break
      GTEST_TOTAL_SHARDS=$parts GTEST_SHARD_INDEX=$part RUTILE_GPU_DEVICE="$device" timeout $((end - SECONDS)) \
        compute-sanitizer --tool "$tool" --error-exitcode 9 "$tests/test_gpu" --gtest_brief=1 >"$out" 2>&1 || status=$?
      [ "$status" != 124 ] || break
      found="$({ grep -oE 'ERROR SUMMARY: [0-9]+' "$out" || echo 0; } | grep -oE '[0-9]+' | tail -1)"
      ran=$((ran + 1)) errors=$((errors + found))
      [ "$status" = 0 ] || { exit=$status; tail -20 "$out"; }
    done
    [ "$exit" = 0 ] && [ "$ran" -gt 0 ] || worst=1
    echo "| $tool | $ran of $parts | $exit | $errors |" | tee -a "$log"
  done
  return "$worst"
}

case "$mode" in
  pack) pack ;;
  samples|e2e|bench|sanitize) need_gpu; find_programs; "$mode" ;;
  *) usage ;;
esac
