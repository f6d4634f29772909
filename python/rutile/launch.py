# SPDX-License-Identifier: Apache-2.0
"""Starts a script in several processes of this machine: `python -m rutile.launch -n 2 train.py --epochs 3`.

Each gets RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as torchrun sets them. What they
write comes out with "[rank] " in front. When one fails the others are ended; the exit status is that of the first, or with
--max-restarts all are started again, with TORCHELASTIC_RESTART_COUNT saying how often that was.
"""

import argparse
import sys

from rutile import _rutile


def main(argv=None):
    """The exit status of the job."""
    parser = argparse.ArgumentParser(prog="python -m rutile.launch", description="Starts a program in several processes.")
    parser.add_argument("-n", "--nproc-per-node", "--nproc_per_node", type=int, default=1, metavar="N", help="processes on this machine [1]")
    parser.add_argument("--nnodes", type=int, default=1, metavar="N", help="machines; run this on each [1]")
    parser.add_argument("--node-rank", "--node_rank", type=int, default=0, metavar="K", help="which machine this is, from 0 [0]")
    parser.add_argument("--master-addr", "--master_addr", default="127.0.0.1", metavar="HOST", help="of machine 0 [127.0.0.1]")
    parser.add_argument("--master-port", "--master_port", type=int, default=0, metavar="PORT", help="a free one [chosen on one machine]")
    parser.add_argument("--max-restarts", "--max_restarts", type=int, default=0, metavar="K",
                        help="start all processes again when one fails, so many times at most [0]")
    parser.add_argument("--no-prefix", action="store_true", help="lines without the rank in front")
    parser.add_argument("--no-python", action="store_true", help="the program is run as it is, not by this Python")
    parser.add_argument("-m", "--module", action="store_true", help="the program is a module, as in python -m")
    parser.add_argument("program", help="the script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")
    o = parser.parse_args(argv)
    python = [] if o.no_python else [sys.executable, "-u"] + (["-m"] if o.module else [])
    try:
        return _rutile.dist.spawn(python + [o.program] + o.arguments, ranks=o.nproc_per_node, hosts=o.nnodes, host=o.node_rank,
                                  address=o.master_addr, port=o.master_port, prefix=not o.no_prefix, restarts=o.max_restarts)
    except _rutile.errors.Error as e:
        parser.error(str(e))


if __name__ == "__main__":
    sys.exit(main())
