# SPDX-License-Identifier: Apache-2.0
"""What data parallelism would cost on 8 to 1,024 GPUs: a calculation, not a measurement.

    python3 benchmarks/dist/simulate.py                                  the table of docs/distributed.md
    python3 benchmarks/dist/simulate.py --forward-ms 14 --backward-ms 29 --markdown
    python3 benchmarks/dist/simulate.py --timeline 64                    each bucket of one step

The model, all of it:
- ResNet-50's gradients become ready from the last layer to the first, each behind a part of backward's time that is
  proportional to the layer's multiplications. Or, with --profile, lines "elements milliseconds" of any other network: the
  gradients in the order of backward, and backward's time up to each.
- They fill buckets (first 1 MB, then --bucket-mb, the last 1 MB by itself) as rutile does it. A bucket starts when it is full and the one before it is
  done: one communication stream, in order.
- An all-reduce of S bytes takes, by the faster of two algorithms:
  ring over everything: 2 (N-1)/N S / b + 2 (N-1) a;
  by levels: reduce-scatter and all-gather in the node, between them an all-reduce between nodes of each GPU's part, by ring
  or by a tree of 2 log2(nodes) steps.
  b is what a link gives one GPU (--node-gbs within a node; --net-gbs between nodes, one network adapter for each GPU, or less where
  GPUs share one), times --efficiency; a is the time of a message (--node-us, --net-us).
- While both run, communication slows backward down by --interference (copies and reductions take memory bandwidth and SMs).
- All wait for the slowest: a GPU's step has a standard deviation of --jitter of itself; the expected largest of N is
  about sqrt(2 ln N) deviations above the mean. It costs that much more at each of N GPUs.
- The optimizer runs behind the last bucket. With --zero an all-gather of the parameters follows it, not hidden.
Not in it: reading data, failures and restarts, networks whose switches are oversubscribed or shared with other jobs.
"""

import argparse
import math
import sys
from dataclasses import dataclass


@dataclass
class Layer:
    """Gradients that become ready together: their elements, and the work behind which that is."""

    elements: int
    work: float


def resnet50(image=224, classes=1000):
    """The layers of ResNet-50 from the input to the output: (weights and biases, multiplications)."""
    layers = []

    def conv(c_in, c_out, k, size):
        layers.append(Layer(c_in * c_out * k * k, c_in * c_out * k * k * size * size))
        layers.append(Layer(2 * c_out, 4 * c_out * size * size))  # its norm

    size = image // 2
    conv(3, 64, 7, size)
    size //= 2
    width_in = 64
    for stage, (blocks, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512))):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            conv(width_in, width, 1, size)
            size //= stride
            conv(width, width, 3, size)
            conv(width, 4 * width, 1, size)
            if block == 0:
                conv(width_in, 4 * width, 1, size)
            width_in = 4 * width
    layers.append(Layer(width_in * classes + classes, width_in * classes))
    return layers


def ready_times(layers, backward_ms):
    """[(elements, ms of backward behind which they are there)], in the order of backward."""
    total, done, out = sum(layer.work for layer in layers), 0.0, []
    for layer in reversed(layers):
        done += layer.work
        out.append((layer.elements, backward_ms * done / total))
    return out


def buckets_of(gradients, bytes_each, bucket_mb, first_mb=1.0):
    """[(bytes, ms when the last of it is ready)] as GradientReducer fills them."""
    small = min(first_mb, bucket_mb)
    groups, room = [], 0.0
    for elements, ms in gradients:
        mb = 4 * elements / 1e6  # sizes of buckets are those of the f32 gradients
        if not groups or mb > room:
            room = bucket_mb if groups else small
            groups.append([])
        groups[-1].append((elements, ms))
        room -= mb
    cut, left = len(groups[-1]), small
    while cut > 0 and 4 * groups[-1][cut - 1][0] / 1e6 <= left:
        cut -= 1
        left -= 4 * groups[-1][cut][0] / 1e6
    if 0 < cut < len(groups[-1]):
        groups[-1:] = [groups[-1][:cut], groups[-1][cut:]]
    return [(sum(e for e, _ in g) * bytes_each, g[-1][1]) for g in groups]


@dataclass
class Links:
    """What one GPU sees: bytes a millisecond and milliseconds a message, in its node and between nodes."""

    gpus_per_node: int
    node_rate: float
    node_delay: float
    net_rate: float
    net_delay: float

    def ring(self, size, n, rate, delay):
        return 0.0 if n < 2 else 2 * (n - 1) / n * size / rate + 2 * (n - 1) * delay

    def tree(self, size, n, rate, delay):
        # Two trees at once, each with half of the bytes: full bandwidth, pipelined.
        return 0.0 if n < 2 else 2 * size / rate + 2 * math.ceil(math.log2(n)) * delay

    def all_reduce(self, size, n):
        """Milliseconds."""
        local = min(n, self.gpus_per_node)
        nodes = math.ceil(n / self.gpus_per_node)
        if nodes == 1:
            return self.ring(size, n, self.node_rate, self.node_delay)
        flat = self.ring(size, n, min(self.node_rate, self.net_rate), self.net_delay)
        part = size / local
        between = min(self.ring(part, nodes, self.net_rate, self.net_delay), self.tree(part, nodes, self.net_rate, self.net_delay))
        return min(flat, self.ring(size, local, self.node_rate, self.node_delay) + between)

    def all_gather(self, size, n):
        return self.all_reduce(size, n) / 2


@dataclass
class Step:
    """One step: its milliseconds, those of communication and those of it that nothing hides."""

    ms: float
    communication: float
    exposed: float
    timeline: list


def simulate(gradients, n, links, o):
    """A step of n GPUs. o: forward_ms, backward_ms, update_ms, wire_bytes, bucket_mb, interference, jitter, zero."""
    buckets = buckets_of(gradients, o.wire_bytes, o.bucket_mb)
    slow, free, stretched, communication, timeline = o.interference, 0.0, 0.0, 0.0, []
    for size, ready in buckets:
        start = max(ready + stretched, free)
        ms = links.all_reduce(size, n)
        # What of it runs beside backward makes backward longer.
        overlap = max(0.0, min(start + ms, o.backward_ms + stretched) - start)
        stretched += slow * overlap
        free = start + ms
        communication += ms
        timeline.append((size, ready, start, free))
    end = max(o.backward_ms + stretched, free) if n > 1 else o.backward_ms
    gather = links.all_gather(sum(4 * e for e, _ in gradients), n) if o.zero and n > 1 else 0.0
    update = o.update_ms / n if o.zero else o.update_ms
    busy = o.forward_ms + end + gather + update
    alone = o.forward_ms + o.backward_ms + o.update_ms
    wait = alone * o.jitter * math.sqrt(2 * math.log(n)) if n > 1 else 0.0
    return Step(busy + wait, communication + gather, end - o.backward_ms + gather, timeline)


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = p.add_argument
    add("--forward-ms", type=float, default=15.0, help="of one GPU [15]")
    add("--backward-ms", type=float, default=29.0, help="of one GPU [29]")
    add("--update-ms", type=float, default=0.6, help="optimizer of one GPU [0.6]")
    add("--batch", type=int, default=128, help="images of one GPU [128]")
    add("--profile", help='file with lines "elements milliseconds" instead of ResNet-50')
    add("--bucket-mb", type=float, default=25.0)
    add("--wire", choices=("fp32", "bf16"), default="fp32", help="what gradients are sent in [fp32]")
    add("--gpus-per-node", type=int, default=8)
    add("--node-gbs", type=float, default=450.0, help="GB/s of a GPU to the others of its node, one way [450: NVLink 4]")
    add("--net-gbs", type=float, default=0.0, help="GB/s of a GPU to other nodes, one way [0: the rows of the table]")
    add("--efficiency", type=float, default=0.8, help="of links [0.8]")
    add("--node-us", type=float, default=3.0, help="of a message in a node [3]")
    add("--net-us", type=float, default=12.0, help="of a message between nodes [12]")
    add("--interference", type=float, default=0.05, help="by which backward is slower beside communication [0.05]")
    add("--jitter", type=float, default=0.005, help="standard deviation of a GPU's step [0.005]")
    add("--zero", action="store_true", help="optimizer states in shards (ZeRO-1)")
    add("--timeline", type=int, metavar="N", help="print the buckets of a step of N GPUs instead")
    add("--markdown", action="store_true", help="the table for docs/distributed.md")
    return p


NETWORKS = (("400 Gb/s for each GPU", 50.0), ("100 Gb/s for each GPU", 12.5), ("100 Gb/s for each node", 12.5 / 8),
            ("25 Gb/s for each node", 25 / 8 / 8))
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)


def gradients_of(o):
    if not o.profile:
        return ready_times(resnet50(), o.backward_ms)
    rows = [line.split() for line in open(o.profile, encoding="utf-8") if line.strip() and not line.startswith("#")]
    found = [(int(elements), float(ms)) for elements, ms in rows]
    if not found or any(b[1] < a[1] for a, b in zip(found, found[1:])):
        sys.exit(f"{o.profile}: expects lines 'elements milliseconds' in the order of backward")
    o.backward_ms = max(o.backward_ms, found[-1][1])
    return found


def links_of(o, net_gbs):
    rate = 1e6 * o.efficiency  # GB/s -> bytes a millisecond
    return Links(o.gpus_per_node, o.node_gbs * rate, o.node_us / 1e3, net_gbs * rate, o.net_us / 1e3)


def table(o, gradients):
    networks = (("as given", o.net_gbs),) if o.net_gbs else NETWORKS
    alone = simulate(gradients, 1, links_of(o, 1.0), o).ms
    print(f"one GPU: {alone:.1f} ms a step, {1e3 * o.batch / alone:,.0f} images/s; {sum(e for e, _ in gradients) / 1e6:.1f} million "
          f"gradients in {len(buckets_of(gradients, 4, o.bucket_mb))} buckets\n")
    between = "|" if o.markdown else " "
    head = ["between nodes".ljust(24)] + [f"{n:>15}" for n in SIZES]
    print(f"| {' | '.join(head)} |" if o.markdown else between.join(head))
    if o.markdown:
        print("| " + " | ".join(["---"] + ["--:"] * len(SIZES)) + " |")
    for name, gbs in networks:
        cells = [name.ljust(24)]
        for n in SIZES:
            s = simulate(gradients, n, links_of(o, gbs), o)
            hidden = 1 - s.exposed / s.communication if s.communication else 1.0
            cells.append(f"{alone / s.ms:.3f} ({max(0.0, hidden):.0%})".rjust(15))
        print(f"| {' | '.join(cells)} |" if o.markdown else between.join(cells))


def main(argv=None):
    o = parser().parse_args(argv)
    o.wire_bytes = 2 if o.wire == "bf16" else 4
    gradients = gradients_of(o)
    if o.timeline:
        step = simulate(gradients, o.timeline, links_of(o, o.net_gbs or NETWORKS[0][1]), o)
        print("   MB   ready   start     end  (ms of backward)")
        for size, ready, start, end in step.timeline:
            print(f"{size / 1e6:5.1f} {ready:7.2f} {start:7.2f} {end:7.2f}")
        print(f"step {step.ms:.2f} ms, communication {step.communication:.2f} ms, {step.exposed:.2f} ms of it exposed")
        return
    table(o, gradients)


if __name__ == "__main__":
    main()
