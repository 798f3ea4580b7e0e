#!/usr/bin/env bash
# Two machines out of one: two network namespaces with a cable between them, a process of torchrun
# in each, one run. The disk is shared, as it must be (docs/scale.md). Needs root and iproute2.
#
#   scripts/two_hosts.sh                                   # DDP, on built-in sentences
#   scripts/two_hosts.sh trainer.strategy=fsdp             # FSDP2
#   scripts/two_hosts.sh task=causal_lm trainer.max_steps=20 paths.output_dir=/tmp/outputs
#
# What follows the name is given to `lushan train`. PYTHON names the interpreter.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$here/.venv/bin/python}
port=${PORT:-29511}
left=lushan-left-$$ right=lushan-right-$$ cable=lushan$$
network=10.213.$(($$ % 250)).

if [ "$(id -u)" != 0 ] || ! command -v ip >/dev/null; then
    echo "two_hosts.sh: needs root and the command ip (iproute2)" >&2
    exit 2
fi

pids=()
clean() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    ip netns del "$left" 2>/dev/null || true
    ip netns del "$right" 2>/dev/null || true
}
trap clean EXIT

ip netns add "$left"
ip netns add "$right"
ip link add "${cable}a" type veth peer name "${cable}b"
ip link set "${cable}a" netns "$left" name eth0
ip link set "${cable}b" netns "$right" name eth0
for side in "$left 1" "$right 2"; do
    read -r name number <<<"$side"
    ip -n "$name" link set lo up
    ip -n "$name" addr add "$network$number/24" dev eth0
    ip -n "$name" link set eth0 up
done

host() { # host NAME RANK ARGUMENTS...: what somebody would type on one of the two machines
    local name=$1 rank=$2
    shift 2
    # A name of its own, too: nothing may rest on the two having the same one.
    exec ip netns exec "$name" unshare --uts sh -c 'hostname "$0"; exec "$@"' "host$rank" \
        env GLOO_SOCKET_IFNAME=eth0 OMP_NUM_THREADS=1 TORCH_CPP_LOG_LEVEL=ERROR \
        "$python" -m torch.distributed.run --nnodes 2 --node-rank "$rank" --nproc-per-node 1 \
        --rdzv-backend static --master-addr "${network}1" --master-port "$port" \
        -m lushan train trainer=cpu trainer.strategy=ddp trainer.devices=1 trainer.num_nodes=2 "$@"
}

(host "$right" 1 "$@") &
pids+=($!)
(host "$left" 0 "$@") &
pids+=($!)
code=0
for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
pids=()
exit "$code"
