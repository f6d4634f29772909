# SPDX-License-Identifier: Apache-2.0
"""MindSpore's collectives between several processes: primitives, comm_func, ops.communication and mint.distributed."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import rutile as ms
from rutile import _rutile, Tensor, mint, ops
from rutile.communication import comm_func
from rutile.ops import communication as comm

needs_gloo = pytest.mark.skipif(bool(_rutile.dist.plugin_error("gloo")), reason="Gloo is not installed")


def launch(tmp_path, ranks, text):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent("""
        import numpy as np
        import rutile as ms
        from rutile import Tensor, ops, mint
        from rutile import communication
        from rutile.communication import comm_func
        from rutile.ops import communication as comm
        communication.init()
        r, n = communication.get_rank(), communication.get_group_size()

        def value(x):
            return x.asnumpy().tolist()

        def fails(kind, text, call):
            try:
                call()
            except kind as e:
                assert text in str(e), e
            else:
                raise AssertionError("no error: " + text)
    """) + textwrap.dedent(text) + "\nprint('well')\n")
    done = subprocess.run([sys.executable, "-m", "rutile.launch", "-n", str(ranks), str(script)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "RUTILE_NUM_THREADS": "1"})
    assert done.returncode == 0 and done.stdout.count("well") == ranks, (done.stdout, done.stderr)


@needs_gloo
def test_primitives_of_uneven_parts(tmp_path):
    launch(tmp_path, 3, """
        # Process i sends i + j elements to process j; all numbers are different.
        counts = [[i + j for j in range(n)] for i in range(n)]
        begin = [sum(counts[r][:j]) for j in range(n)]
        mine = [100.0 * r + k for k in range(sum(counts[r]))]
        want = [100.0 * i + sum(counts[i][:r]) + k for i in range(n) for k in range(counts[i][r])]
        flat = [k for row in counts for k in row]
        received = [counts[i][r] for i in range(n)]
        for wrap in (lambda f: f, ms.jit):
            assert value(wrap(lambda x: ops.AlltoAllV()(x, counts[r], received))(Tensor(mine))) == want
            assert value(wrap(lambda x: ops.AlltoAllVC()(x, flat))(Tensor(mine))) == want
            parts = [2, 0, 3]
            own = Tensor([10.0 * r + k for k in range(parts[r])], ms.float32)
            assert value(wrap(lambda x: ops.AllGatherV()(x, parts))(own)) == [0.0, 1.0, 20.0, 21.0, 22.0]
            line = Tensor([1.0, 2.0, 3.0, 4.0, 5.0]) * (r + 1)
            got = wrap(lambda x: ops.ReduceScatterV(ops.ReduceOp.SUM)(x, parts))(line)
            assert value(got) == [[6.0, 12.0], [], [18.0, 24.0, 30.0]][r]
            got = wrap(lambda x: ops.ReduceScatterV("max")(x, Tensor(parts)))(line)
            assert value(got) == [[3.0, 6.0], [], [9.0, 12.0, 15.0]][r]
        assert value(ops.AlltoAllV(block_size=2)(Tensor([1.0, 2.0] * n), [1] * n, [1] * n)) == [1.0, 2.0] * n
        assert value(ops.AlltoAllVC(transpose=True)(Tensor(mine), [counts[j][i] for i in range(n) for j in range(n)])) == want
        assert ops.AlltoAllV()(Tensor(np.zeros(0, np.float32)), [0] * n, [0] * n).shape == (0,)
        # What is sent on comes back as the gradient.
        weight = Tensor([1.0 + k for k in range(len(want))])
        grad = ms.grad(lambda x: (ops.AlltoAllV()(x, counts[r], received) * weight).sum())(Tensor(mine))
        assert value(grad) == [1.0 + sum(counts[i][j] for i in range(r)) + k for j in range(n) for k in range(counts[r][j])]
        # The processes are told how they differ.
        wrong = [k + (i == 1) for i, k in enumerate(received)]
        fails(ValueError, f"expects {wrong[1]} elements of process 1, which sends {received[1]}",
              lambda: ops.AlltoAllV()(Tensor(mine), counts[r], wrong))
        fails(ValueError, "the counts [1, 1, 1] are of 3 elements, the tensor has 2", lambda: ops.ReduceScatterV()(Tensor([1.0, 2.0]), [1, 1, 1]))
        fails(ValueError, "3 processes, got 2 counts", lambda: ops.AllGatherV()(Tensor([1.0]), [1, 1]))
        fails(ValueError, "send_count_matrix has 9 numbers, got 4", lambda: ops.AlltoAllVC()(Tensor([1.0]), [1, 1, 1, 1]))
        fails(TypeError, "must be a list of counts", lambda: ops.AllGatherV()(Tensor([1.0]), [1, 1, -1]))

        x = Tensor(np.arange(6, dtype=np.float32).reshape(3, 2)) + 10.0 * r
        assert value(ops.CollectiveScatter(1)(x)) == [[10.0 + 2 * r, 11.0 + 2 * r]]
        assert comm_func.scatter_tensor(x, 1).shape == (1, 2)
        got = ops.CollectiveGather(2)(Tensor([float(r)]))
        assert value(got) == ([0.0, 1.0, 2.0] if r == 2 else [0.0])
        fails(ValueError, "dimension 0 must be a multiple of 3", lambda: ops.CollectiveScatter()(Tensor([1.0, 2.0])))
        fails(ValueError, "must be below 3", lambda: ops.CollectiveGather(3))
    """)


@needs_gloo
def test_neighbours(tmp_path):
    launch(tmp_path, 3, """
        # A ring: to the right one row, to the left two.
        right, left = (r + 1) % 3, (r - 1) % 3
        exchange = ops.NeighborExchange([right, left], [left, right], ([1, 2], [2, 2]), ([1, 2], [2, 2]), ms.float32)
        one, two = Tensor([[1.0 + 10 * r, 2.0 + 10 * r]]), Tensor([[3.0 + 10 * r, 4.0], [5.0, 6.0]])
        for wrap in (lambda f: f, ms.jit):
            a, b = wrap(lambda x, y: exchange((x, y)))(one, two)
            assert value(a) == [[1.0 + 10 * left, 2.0 + 10 * left]] and value(b) == [[3.0 + 10 * right, 4.0], [5.0, 6.0]]
        fails(ValueError, "was made for tensors of", lambda: exchange((two, one)))
        # Images side by side: process 1 has neighbours on both sides, the others a border of zeros at the edge.
        nobody = [-1] * 8
        place = list(nobody)
        if r < 2:
            place[2] = r + 1
        if r > 0:
            place[6] = r - 1
        halo = ops.NeighborExchangeV2(place, [0, 0, 1, 1], place, [0, 0, 1, 1], "NCHW")
        whole = np.arange(2 * 2 * 9, dtype=np.float32).reshape(1, 2, 2, 9)
        padded = np.pad(whole, ((0, 0), (0, 0), (0, 0), (1, 1)))
        got = halo(Tensor(whole[..., 3 * r:3 * r + 3]))
        np.testing.assert_array_equal(got.asnumpy(), padded[..., 3 * r:3 * r + 5])
        fails(ValueError, "names each process once", lambda: ops.NeighborExchangeV2([0, 0] + nobody[2:], [1] * 4, nobody, [1] * 4, "NCHW"))
        fails(ValueError, "must be 'NCHW'", lambda: ops.NeighborExchangeV2(nobody, [1] * 4, nobody, [1] * 4, "NHWC"))
        # Messages that cross.
        batch = ops.BatchISendIRecv(("isend", "irecv", "irecv"), [right, left, right], [(2,), ()], (ms.float32, ms.int32))
        back = comm_func.isend(Tensor(7 + r, ms.int32), left)
        zero, line, number = batch(Tensor([float(r), 1.0]))
        back.wait()
        assert value(line) == [float(left), 1.0] and int(number) == 7 + right and zero.shape == ()
        fails(ValueError, "sends 1 tensors, got 2", lambda: batch((one, two)))
    """)


@needs_gloo
def test_corners_of_neighbouring_images(tmp_path):
    launch(tmp_path, 4, """
        # Two by two processes; above, above right, right, below right, below, below left, left, above left.
        row, column = divmod(r, 2)
        place = [-1] * 8
        for at, (dy, dx) in enumerate(((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))):
            if 0 <= row + dy < 2 and 0 <= column + dx < 2:
                place[at] = 2 * (row + dy) + column + dx
        whole = np.arange(8 * 6, dtype=np.float32).reshape(1, 1, 8, 6)
        mine = whole[:, :, 4 * row:4 * row + 4, 3 * column:3 * column + 3]
        top, bottom, left, right = 2, 1, 1, 2
        halo = ops.NeighborExchangeV2(place, [bottom, top, right, left], place, [top, bottom, left, right], "NCHW")
        padded = np.pad(whole, ((0, 0), (0, 0), (top, bottom), (left, right)))
        want = padded[:, :, 4 * row:4 * row + 4 + top + bottom, 3 * column:3 * column + 3 + left + right]
        for f in (halo, ms.jit(halo)):
            np.testing.assert_array_equal(f(Tensor(mine)).asnumpy(), want)
    """)


@needs_gloo
def test_functions_that_return(tmp_path):
    launch(tmp_path, 3, """
        sent = [Tensor(np.full((r + 1, j + 1), 10.0 * r + j, np.float32)) for j in range(n)]
        out, handle = comm_func.all_to_all_with_output_shape([(i + 1, r + 1) for i in range(n)], sent)
        assert handle is None and [o.shape for o in out] == [(i + 1, r + 1) for i in range(n)]
        assert [float(o[0, 0]) for o in out] == [10.0 * i + r for i in range(n)]
        # Process r sends j + 1 rows to process j.
        rows = Tensor(np.concatenate([np.full((j + 1, 2), 10.0 * r + j, np.float32) for j in range(n)]))
        got, handle = comm_func.all_to_all_single_with_output_shape((n * (r + 1), 2), rows, [r + 1] * n, [j + 1 for j in range(n)], async_op=True)
        handle.wait()
        assert handle.is_completed() and value(got[:, 1]) == [10.0 * i + r for i in range(n) for _ in range(r + 1)]
        got, _ = comm_func.all_to_all_single_with_output_shape(Tensor(np.zeros((3, 1), np.float32)), Tensor([[10.0 * r + j] for j in range(n)]))
        assert value(got) == [[10.0 * i + r] for i in range(n)]
        target = Tensor(np.zeros((n,), np.float32))
        assert comm_func.all_to_all_v_c(target, Tensor([10.0 * r + j for j in range(n)]), [1] * (n * n)) is None
        assert value(target) == [10.0 * i + r for i in range(n)]
        ops_ = [comm_func.P2POp(comm_func.isend, Tensor([float(r)]), (r + 1) % n),
                comm_func.P2POp("irecv", (1,), (r - 1) % n, recv_dtype=ms.float32)]
        _, came = comm_func.batch_isend_irecv(ops_)
        assert value(came) == [float((r - 1) % n)]
        assert communication.get_comm_name() == "world"
        communication.create_group("two", [2, 0])
        if r != 1:
            assert value(comm_func.scatter_tensor(Tensor([1.0, 2.0]) + r, 2, "two")) == [[4.0], None, [3.0]][r]
            assert communication.get_comm_name("two") == "two"
    """)


@needs_gloo
def test_functions_that_write(tmp_path):
    launch(tmp_path, 3, """
        assert comm.is_available() and comm.is_initialized() and comm.get_backend() == "mccl"
        assert (comm.get_rank(), comm.get_world_size()) == (r, 3)

        def written(call, *tensors):
            assert call(*tensors) is None
            return value(tensors[0])

        zeros = lambda *shape: Tensor(np.zeros(shape, np.float32))  # noqa: E731
        x = lambda: Tensor([float(r), 1.0])  # noqa: E731
        assert written(comm.all_reduce, x()) == [3.0, 3.0]
        assert written(lambda t: ops.all_reduce(t, "avg"), x()) == [1.0, 1.0]
        assert written(lambda t: mint.distributed.all_reduce(t, op="max"), x()) == [2.0, 1.0]
        p = ms.Parameter(x())
        handle = comm.all_reduce(p, async_op=True)
        handle.wait()
        assert value(p) == [3.0, 3.0]
        assert written(lambda t: comm.reduce(t, 1), x()) == ([3.0, 3.0] if r == 1 else [float(r), 1.0])
        assert written(lambda t: comm.broadcast(t, 2), x()) == [2.0, 1.0]
        assert written(comm.all_gather_into_tensor, zeros(6), x()) == [0.0, 1.0, 1.0, 1.0, 2.0, 1.0]
        assert written(comm.reduce_scatter_tensor, zeros(1), Tensor([1.0, 2.0, 3.0])) == [3.0 * (r + 1)]
        rows = [1, 2, 0]
        mine = Tensor(np.full((rows[r], 2), r, np.float32))
        assert written(lambda o, i: comm.all_gather_into_tensor_uneven(o, i, rows), zeros(3, 2), mine) == [[0.0] * 2, [1.0] * 2, [1.0] * 2]
        line = Tensor(np.arange(6, dtype=np.float32).reshape(3, 2))
        assert written(lambda o, i: comm.reduce_scatter_tensor_uneven(o, i, rows), zeros(rows[r], 2), line) == [
            [[0.0, 3.0]], [[6.0, 9.0], [12.0, 15.0]], []][r]
        out = [zeros(k + 1) for k in range(n)]
        comm.all_gather(out, Tensor(np.full(r + 1, 5.0 + r, np.float32)))
        assert [value(o) for o in out] == [[5.0], [6.0, 6.0], [7.0, 7.0, 7.0]]
        assert written(lambda o: comm.reduce_scatter(o, [Tensor(np.full(k + 1, k + r, np.float32)) for k in range(n)], "max"),
                       zeros(r + 1)) == [r + 2.0] * (r + 1)
        places = [zeros(2) for _ in range(n)]
        comm.gather(x(), places if r == 1 else [], 1)
        assert [value(o) for o in places] == ([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]] if r == 1 else [[0.0, 0.0]] * 3)
        assert written(lambda o, i: comm.gather_into_tensor(o, i, 2), zeros(6), x()) == ([0.0, 1.0, 1.0, 1.0, 2.0, 1.0] if r == 2 else [0.0] * 6)
        assert written(lambda o: comm.scatter(o, [x() + k for k in range(n)] if r == 1 else [], 1), zeros(2)) == [1.0 + r, 1.0 + r]
        assert written(lambda o, i: comm.scatter_tensor(o, i, 2), zeros(1), Tensor([1.0, 2.0, 3.0]) * r) == [2.0 * (r + 1)]
        out = [zeros(i + 1, r + 1) for i in range(n)]
        assert comm.all_to_all(out, [Tensor(np.full((r + 1, j + 1), 10.0 * r + j, np.float32)) for j in range(n)]) is None
        assert [float(o[0, 0]) for o in out] == [10.0 * i + r for i in range(n)]
        assert written(comm.all_to_all_single, zeros(3), Tensor([10.0 * r + j for j in range(n)])) == [10.0 * i + r for i in range(n)]
        uneven = Tensor([10.0 * r + j for j in range(n) for _ in range(j + 1)])
        assert written(lambda o, i: comm.all_to_all_single(o, i, [r + 1] * n, [1, 2, 3]), zeros(3 * (r + 1)), uneven) == [
            10.0 * i + r for i in range(n) for _ in range(r + 1)]
        assert written(lambda o, i: comm.all_to_all_v_c(o, i, [1] * 9), zeros(3), Tensor([10.0 * r + j for j in range(n)])) == [
            10.0 * i + r for i in range(n)]
        comm.barrier()
        # Messages.
        if r == 0:
            comm.send(x(), 1)
            comm.send_object_list([{"a": 1}, "b"], 1)
        if r == 1:
            t, objects = zeros(2), [None, None]
            assert comm.recv(t, 0) == 0 and value(t) == [0.0, 1.0]
            assert comm.recv_object_list(objects, 0) == 0 and objects == [{"a": 1}, "b"]
        t = zeros(2)
        handles = [comm.irecv(t, (r - 1) % n), comm.isend(x(), (r + 1) % n)]
        for h in handles:
            h.wait()
            assert h.is_completed()
        assert value(t) == [float((r - 1) % n), 1.0]
        t = zeros(2)
        for h in comm.batch_isend_irecv([comm.P2POp(comm.isend, x(), (r + 1) % n), comm.P2POp("irecv", t, (r - 1) % n)]):
            h.wait()
        assert value(t) == [float((r - 1) % n), 1.0]
        # Objects.
        objects = [None] * n
        comm.all_gather_object(objects, {"rank": r, "text": "x" * (5 * r)})
        assert objects == [{"rank": k, "text": "x" * (5 * k)} for k in range(n)]
        objects = [None] * n if r == 2 else None
        comm.gather_object((r, "of 2"), objects, 2)
        assert objects == ([(k, "of 2") for k in range(n)] if r == 2 else None)
        objects = [r, [r]] if r == 1 else [None, None]
        comm.broadcast_object_list(objects, 1)
        assert objects == [1, [1]]
        place = [None]
        comm.scatter_object_list(place, ["a", "b", "c"] if r == 0 else None, 0)
        assert place == ["abc"[r]]
        # Groups.
        pair = comm.new_group([2, 1])
        assert comm.get_process_group_ranks(pair) == [1, 2] and comm.get_world_size(pair) == (-1 if r == 0 else 2)
        assert comm.get_global_rank(pair, 0) == 1 and comm.get_group_rank(pair, 2) == 1
        assert comm.new_group([1, 2]) != pair and comm.new_group() == "world"
        if r > 0:
            assert written(lambda t: comm.broadcast(t, 2, pair), x()) == [2.0, 1.0] and comm.get_rank(pair) == r - 1
        comm.destroy_process_group(pair)
        # Those that return a new tensor on request.
        comm.set_comm_ops_inplace(False)
        t = x()
        assert value(comm.all_reduce(t)[0]) == [3.0, 3.0] and value(t) == [float(r), 1.0]
        assert value(ops.all_gather_into_tensor(None, t)[0]) == [0.0, 1.0, 1.0, 1.0, 2.0, 1.0]
        assert value(comm.reduce_scatter_tensor(None, Tensor([1.0, 2.0, 3.0]))[0]) == [3.0 * (r + 1)]
        assert value(comm.all_to_all_single(None, Tensor([10.0 * r + j for j in range(n)]))[0]) == [10.0 * i + r for i in range(n)]
        fails(ValueError, "only writes into its arguments", lambda: comm.broadcast(t, 0))
        comm.set_comm_ops_inplace(True, ["broadcast", "isend"])
        assert written(lambda t: comm.broadcast(t, 0), x()) == [0.0, 1.0]
        sent = comm.isend(x(), (r + 1) % n)
        got, handle = comm.irecv(t, (r - 1) % n)
        handle.wait(), sent.wait()
        assert value(got) == [float((r - 1) % n), 1.0] and value(t) == [float(r), 1.0]
        comm.set_comm_ops_inplace(True)
        # In a compiled function.
        step = ms.jit(lambda t: (comm.all_reduce(t), t * 2.0)[1])
        assert value(step(x())) == [6.0, 6.0]
        comm.destroy_process_group()
        assert not comm.is_initialized()
    """)


@needs_gloo
def test_processes_that_meet_where_they_say(tmp_path):
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    text = textwrap.dedent("""
        import datetime, sys
        from rutile import mint, Tensor
        mint.distributed.init_process_group(init_method=f"tcp://127.0.0.1:{sys.argv[1]}", rank=int(sys.argv[2]), world_size=2,
                                            timeout=datetime.timedelta(seconds=60))
        x = Tensor([1.0])
        mint.distributed.all_reduce(x)
        assert x.asnumpy().tolist() == [2.0]
    """)
    env = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    jobs = [subprocess.Popen([sys.executable, "-c", text, str(port), str(r)], stderr=subprocess.PIPE, text=True, env=env) for r in range(2)]
    for job in jobs:
        _, err = job.communicate(timeout=60)
        assert job.returncode == 0, err


def test_one_process_and_mistakes():
    x = Tensor([1.0, 2.0])
    assert comm.all_reduce(x) is None and comm.all_reduce(x, async_op=True).is_completed()
    assert comm.get_rank() == 0 and comm.get_world_size() == 1 and comm.get_process_group_ranks() == [0]
    assert ops.CollectiveGather(0)(x).asnumpy().tolist() == [1.0, 2.0]
    assert comm_func.scatter_tensor(x).asnumpy().tolist() == [1.0, 2.0]
    y = Tensor([0.0])
    for error, text, call in (
            (TypeError, "tensor must be a Tensor", lambda: comm.all_reduce(3)),
            (TypeError, "op must be one of", lambda: comm.all_reduce(x, "most")),
            (TypeError, "group must be a name", lambda: comm.all_reduce(x, group=3)),
            (TypeError, "async_op must be a bool", lambda: comm.all_reduce(x, async_op=1)),
            (ValueError, r"gives Float32\[2\], the tensor for it is Float32\[1\]", lambda: comm.all_gather_into_tensor(y, x)),
            (TypeError, "tensor_list must be a list", lambda: comm.all_gather(x, x)),
            (ValueError, "one tensor for each of the 1 processes, got 2", lambda: comm.all_gather([x, x], x)),
            (ValueError, "another process, got this one", lambda: comm.send(x, 0)),
            (TypeError, "op must be isend or irecv", lambda: comm.P2POp("send", x, 0)),
            (TypeError, "list of P2POp", lambda: comm.batch_isend_irecv([])),
            (NotImplementedError, "no tag", lambda: comm.P2POp("isend", x, 0, tag=1)),
            (TypeError, "object_list must be a list", lambda: comm.all_gather_object(None, 1)),
            (ValueError, "there is no function 'sum'", lambda: comm.set_comm_ops_inplace(True, ["sum"])),
            (TypeError, "is_enable must be a bool", lambda: comm.set_comm_ops_inplace(1)),
            (ValueError, "must be 'tcp://host:port'", lambda: comm.init_process_group(init_method="file:///x")),
            (ValueError, "needs world_size and rank", lambda: comm.init_process_group(init_method="tcp://127.0.0.1:1")),
            (RuntimeError, "MASTER_ADDR", lambda: comm.TCPStore("127.0.0.1", 1)),
            (TypeError, "ranks must be a list", lambda: comm.new_group(3)),
            (RuntimeError, "parameter server", lambda: ops.Push()),
            (RuntimeError, "NPU", lambda: ops.all_gather_matmul(x, x)),
    ):
        with pytest.raises(error, match=text):
            call()
    assert np.array_equal(x.asnumpy(), [1.0, 2.0])


def test_every_name_is_there():
    names = ("TCPStore init_process_group destroy_process_group get_rank get_world_size new_group get_backend get_global_rank "
             "get_process_group_ranks get_group_rank all_reduce all_gather_into_tensor all_gather_into_tensor_uneven all_to_all "
             "all_to_all_single reduce_scatter_tensor reduce_scatter_tensor_uneven isend irecv send recv gather scatter all_gather "
             "reduce_scatter barrier broadcast reduce P2POp batch_isend_irecv all_gather_object broadcast_object_list gather_object "
             "scatter_object_list send_object_list recv_object_list is_available is_initialized set_comm_ops_inplace all_to_all_v_c "
             "gather_into_tensor scatter_tensor").split()
    assert sorted(comm.__all__) == sorted(names)
    for name in names:
        assert getattr(comm, name) is getattr(mint.distributed, name)
        if name not in ("gather", "scatter"):
            assert getattr(ops, name) is getattr(comm, name), name
    for name in ("GlobalComm init release get_rank get_group_size get_world_rank_from_group_rank get_group_rank_from_world_rank create_group "
                 "get_comm_name HCCL_WORLD_COMM_GROUP NCCL_WORLD_COMM_GROUP MCCL_WORLD_COMM_GROUP get_local_rank get_local_rank_size "
                 "destroy_group get_process_group_ranks").split():
        assert hasattr(ms.communication, name), name
    for name in ("all_reduce all_gather_into_tensor all_to_all_with_output_shape all_to_all_single_with_output_shape barrier broadcast "
                 "gather_into_tensor isend irecv reduce_scatter_tensor reduce scatter_tensor send recv P2POp batch_isend_irecv "
                 "all_to_all_v_c").split():
        assert hasattr(comm_func, name), name
    for name in ("AllGather AllReduce AlltoAll ReduceScatter Broadcast NeighborExchange NeighborExchangeV2 AllGatherV ReduceScatterV Send "
                 "Receive AlltoAllV AlltoAllVC Barrier BatchISendIRecv CollectiveGather CollectiveScatter Reduce").split():
        assert name in ops.operations.__all__ and not getattr(getattr(ops, name), "_refused", False), name
