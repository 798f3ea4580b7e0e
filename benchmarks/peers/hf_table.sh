#!/usr/bin/env bash
# 4 configurations x 3 seeds by a shell loop over hf_table.py, and mean and deviation of each.
# Usage: hf_table.sh PYTHON OUTPUT_FOLDER "LRS" "SCHEDULERS" "SEEDS" [flags of hf_table.py]
set -euo pipefail
python=$1 out=$2 lrs=$3 schedulers=$4 seeds=$5
shift 5
here="$(dirname "${BASH_SOURCE[0]}")"
for lr in $lrs; do
  for scheduler in $schedulers; do
    for seed in $seeds; do
      "$python" "$here/hf_table.py" --output "$out/$lr-$scheduler-$seed" --tokenizer "$out/tokenizer" \
        --lr "$lr" --scheduler "$scheduler" --seed "$seed" "$@"
    done
  done
done
"$python" - "$out" <<'PY'
import json, pathlib, statistics, sys
groups = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*/result.json")):
    row = json.loads(path.read_text())
    groups.setdefault((row["lr"], row["scheduler"]), []).append(100 * row["eval_f1"])
for (lr, scheduler), values in sorted(groups.items()):
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    print(f"{lr:g}  {scheduler}  {statistics.mean(values):.1f} ± {spread:.1f}  n={len(values)}")
PY
