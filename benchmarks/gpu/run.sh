#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a machine with a GPU is asked for.
#
#   benchmarks/gpu/run.sh pack            build/gpu-pack.tar.xz: everything below, at most 60 MiB
#   benchmarks/gpu/run.sh samples         every op's samples, the GPU against the CPU
#   benchmarks/gpu/run.sh e2e             the four networks, eager and graph, losses beside the CPU's
#   benchmarks/gpu/run.sh bench           their speed, beside PyTorch's where it is installed
#   benchmarks/gpu/run.sh sanitize        compute-sanitizer on some of the samples
#
# Each of the last four takes under ten minutes and appends a dated table to docs/gpu_log.md. Run them from the tree,
# or from the folder into which the pack was extracted (then the table is in gpu_log.md there). cuDNN and cuBLAS are
# found in nvidia-* packages, inside an installed PyTorch, or by the loader. Without a GPU nothing is run or claimed.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mode="${1:-}"
limit_mib=60

usage() { sed -n '4,11p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,3\}//'; exit 2; }

if [ -d "$here/../../kernels" ]; then root="$(cd "$here/../.." && pwd)"; log="$root/docs/gpu_log.md"
else root="$here"; log="$here/gpu_log.md"; fi

pack() {
  local build="$root/build/gpu" stage="$root/build/gpu-pack"
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DRUTILE_CUDA=ON -DRUTILE_ONEDNN=OFF \
    -DRUTILE_PYTHON=OFF -DRUTILE_BENCHMARKS=OFF >/dev/null
  cmake --build "$build" --target rutile rutile_cuda test_gpu mlp lenet resnet50 gpt
  rm -rf "$stage" && mkdir -p "$stage/bin" "$stage/lib"
  cp "$build"/bin/tests/test_gpu "$build"/bin/{mlp,lenet,resnet50,gpt} "$stage/bin/"
  cp -a "$build"/lib/librutile.so* "$build"/lib/librutile_cuda.so "$stage/lib/"
  for library in /usr/lib/x86_64-linux-gnu/libgomp.so.1; do [ -f "$library" ] && cp -L "$library" "$stage/lib/"; done
  strip "$stage"/bin/* "$stage"/lib/*.so*
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
      [ -f "$lib/librutile_cuda.so" ] && break
    done
  fi
  [ -f "$lib/librutile_cuda.so" ] || { echo "librutile_cuda.so is not built: 'benchmarks/gpu/run.sh pack' first"; exit 1; }
  export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
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
  if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo "no NVIDIA GPU here (nvidia-smi sees none): nothing was run, nothing is claimed"
    exit 0
  fi
}

# heading <mode>: what the table below was made with.
heading() {
  { echo; echo "## $(date -u +%Y-%m-%d) $1"; echo
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | sed 's/^/- GPU, driver, memory: /'
    echo "- commit: $(cat "$root/commit" 2>/dev/null || git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)"
    echo; } >>"$log"
}

samples() {
  heading samples
  local out; out="$(mktemp)"
  timeout 570 "$tests/test_gpu" --gtest_brief=1 >"$out" 2>&1 && status=0 || status=$?
  { echo "| tests | passed | failed | skipped | exit |"; echo "| --- | --- | --- | --- | --- |"
    echo "| $(grep -oE '^\[==========\] [0-9]+' "$out" | tail -1 | grep -oE '[0-9]+$' || echo '?')" \
         "| $(grep -oE '^\[  PASSED  \] [0-9]+' "$out" | grep -oE '[0-9]+' || echo 0)" \
         "| $(grep -cE '^\[  FAILED  \] Gpu' "$out" || true)" \
         "| $(grep -oE '^\[  SKIPPED \] [0-9]+' "$out" | grep -oE '[0-9]+$' || echo 0) | $status |"; } >>"$log"
  tail -40 "$out"
  return "$status"
}

# step <program> <device> <mode> <extra>...: JSON of a short run on synthetic data.
step() {
  local program="$1" device="$2" how="$3"; shift 3
  "$bin/$program" --dataset synthetic --device "$device" --mode "$how" --seed 1 "$@"
}

e2e() {
  heading e2e
  echo "| network | mode | last loss, CPU | last loss, GPU |" >>"$log"; echo "| --- | --- | --- | --- |" >>"$log"
  local json; json="$(mktemp)"
  for program in mlp lenet resnet50 gpt; do
    for how in eager graph; do
      local losses=()
      for device in cpu cuda; do
        if timeout 120 bash -c "$(declare -f step); bin='$bin'; step $program $device $how --steps 5 --batch 4 --json '$json'" \
             >/dev/null 2>"$json.err"; then
          losses+=("$(python3 -c "import json,sys; d=json.load(open('$json')); print(d.get('loss', d.get('train_loss')))")")
        else losses+=("failed: $(tail -1 "$json.err" | cut -c1-120)"); fi
      done
      echo "| $program | $how | ${losses[0]} | ${losses[1]} |" | tee -a "$log"
    done
  done
}

bench() {
  heading bench
  echo "| network | batch | precision | mode | samples/s | PyTorch eager | torch.compile |" >>"$log"
  echo "| --- | --- | --- | --- | --- | --- | --- |" >>"$log"
  local json; json="$(mktemp)"
  while read -r program batch steps; do
    local torch="- -"
    torch="$(timeout 200 python3 "$here/torch_side.py" "$program" "$batch" 2>/dev/null || echo "- -")"
    for how in eager graph; do
      local ours="failed"
      if timeout 100 bash -c "$(declare -f step); bin='$bin'; step $program cuda $how --steps $steps --batch $batch --precision bf16 --json '$json'" \
           >/dev/null 2>&1; then
        ours="$(python3 -c "import json; d=json.load(open('$json')); print(d.get('samples_per_second', d.get('images_per_second')))")"
      fi
      echo "| $program | $batch | bf16 | $how | $ours | ${torch% *} | ${torch#* } |" | tee -a "$log"
    done
  done <<LIST
mlp 256 200
lenet 256 200
resnet50 256 30
gpt 16 30
LIST
}

sanitize() {
  heading sanitize
  command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not installed" | tee -a "$log"; return 1; }
  echo "| tool | exit | errors |" >>"$log"; echo "| --- | --- | --- |" >>"$log"
  local out; out="$(mktemp)"
  for tool in memcheck racecheck; do
    timeout 280 compute-sanitizer --tool "$tool" --error-exitcode 9 "$tests/test_gpu" --gtest_brief=1 \
      --gtest_filter='Gpu/Samples.sum:*.add:*.softmax:*.layer_norm*:*.cross_entropy*:*.matmul:*.conv2d*:*.batch_norm*:*.sort:*.adamw*' \
      >"$out" 2>&1 && status=0 || status=$?
    echo "| $tool | $status | $(grep -oE 'ERROR SUMMARY: [0-9]+' "$out" | grep -oE '[0-9]+' | tail -1) |" | tee -a "$log"
  done
}

case "$mode" in
  pack) pack ;;
  samples|e2e|bench|sanitize) need_gpu; find_programs; "$mode" ;;
  *) usage ;;
esac
