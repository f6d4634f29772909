# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C ends what runs, threads and forks end: each case is a process of its own that gets SIGINT."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

# What a user waits at most is 2 s; a machine that runs other things gets more time here.
LIMIT = float(os.environ.get("RUTILE_INTERRUPT_LIMIT", "10"))

PARTS = {
    "eager_steps": """
        step = training(rutile.PYNATIVE_MODE)
        ready()
        while True:
            step(x, y)
        """,
    "compiled_steps": """
        step = training(rutile.GRAPH_MODE)
        step(x, y)
        ready()
        while True:
            step(x, y)
        """,
    "compiling": """
        rutile.set_context(mode=rutile.GRAPH_MODE)
        ready()
        while True:  # every net compiles again
            layers = [nn.SequentialCell(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()) for _ in range(40)]
            nn.SequentialCell(*layers)(Tensor(np.ones((1, 8, 8, 8), np.float32)))
        """,
    "compiled_loop": """
        @rutile.jit
        def count(v):
            return ops.while_loop(lambda c: c[0] < 1e30, lambda c: (c[0] * 0.5 + 1.0, c[1] + c[0]), (v, v))
        rutile.jit(lambda v: ops.fori_loop(0, 10, lambda i, c: c + 1.0, v))(Tensor(1.0))
        ready()
        count(Tensor(1.0))
        """,
    "model": """
        data = ds.NumpySlicesDataset((images, labels), ["image", "label"], shuffle=False).batch(8)
        net = nn.SequentialCell(nn.Flatten(), nn.Dense(64, 10))
        model = rutile.Model(net, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"),
                             nn.Momentum(net.trainable_params(), 0.01, 0.9))
        model.train(1, data, dataset_sink_mode=False)
        ready()
        model.train(1000000, data, dataset_sink_mode=False)
        """,
    "slow_dataset": """
        import time
        def slow():
            yield images[0]
            time.sleep(1000)
            yield images[1]
        rows = iter(ds.GeneratorDataset(slow, ["image"]).create_tuple_iterator())
        next(rows)
        ready()
        next(rows)
        """,
    "dataset_threads": """
        data = ds.NumpySlicesDataset((images, labels), ["image", "label"], shuffle=True)
        data = data.map(lambda v: v * 2, input_columns=["image"], num_parallel_workers=2).batch(2)
        ready()
        while True:
            for row in data.create_tuple_iterator():
                pass
        """,
}
PREAMBLE = """
import sys
import numpy as np
import rutile
import rutile.dataset as ds
from rutile import Tensor, nn, ops
images, labels = np.ones((64, 1, 8, 8), np.float32), np.zeros(64, np.int32)
x, y = Tensor(images), Tensor(labels)
def ready():
    print("ready", flush=True)
def training(mode):
    rutile.set_context(mode=mode)
    net = nn.SequentialCell(nn.Flatten(), nn.Dense(64, 10))
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    return nn.TrainOneStepCell(nn.WithLossCell(net, loss), nn.Momentum(net.trainable_params(), 0.01, 0.9))
"""


PROCESSES = """
import time
class Source:
    def __getitem__(self, i):
        time.sleep(0.01)
        return np.full(4, i, np.float32)
    def __len__(self):
        return 100000
if __name__ == "__main__":
    data = ds.GeneratorDataset(Source(), ["x"], num_parallel_workers=2, python_multiprocessing=True, shuffle=False)
    for i, row in enumerate(data.create_tuple_iterator()):
        if i == 3:
            ready()
"""


def start(*arguments, **environment):
    """A process that has printed "ready"."""
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             start_new_session=True, env={**os.environ, **environment})
    line = child.stdout.readline()
    if line != "ready\n":
        child.kill()
        raise AssertionError(line + child.communicate()[1])
    return child


def interrupted(child, name):
    """Sends what Ctrl-C sends, to all processes of the terminal; returns what the child wrote."""
    time.sleep(0.3)
    begin = time.monotonic()
    os.killpg(child.pid, signal.SIGINT)
    try:
        try:
            _, errors = child.communicate(timeout=LIMIT / 2)
        except subprocess.TimeoutExpired:
            # Python drops a KeyboardInterrupt that comes while it runs a destructor: press again.
            os.killpg(child.pid, signal.SIGINT)
            _, errors = child.communicate(timeout=LIMIT / 2)
            assert "Exception ignored in" in errors, f"{name} took no notice of the first SIGINT: {errors[-2000:]}"
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        raise AssertionError(f"{name} runs on {LIMIT} s after SIGINT: {child.communicate()[1][-2000:]}") from None
    print(f"{name}: {time.monotonic() - begin:.2f} s")
    assert child.returncode in (-signal.SIGINT, 128 + signal.SIGINT), (child.returncode, errors[-2000:])
    with pytest.raises(ProcessLookupError):  # nobody of its session is left
        for _ in range(50):
            os.killpg(child.pid, 0)
            time.sleep(0.1)
    return errors


@pytest.mark.parametrize("name", list(PARTS))
def test_sigint(name):
    errors = interrupted(start("-c", PREAMBLE + textwrap.dedent(PARTS[name])), name)
    assert errors.rstrip().split("\n")[-1].startswith(("KeyboardInterrupt", "rutile.errors.Interrupted")), errors[-2000:]


DEVICE = """
import time
x = Tensor(np.zeros(64, np.float32)).to("fake:0")
for _ in range(40):
    x = x + 1
ready()
try:
    x.asnumpy()
except KeyboardInterrupt as e:
    assert "goes on with what it was given" in str(e), repr(e)
    begin = time.monotonic()
    _rutile._synchronize("fake:0")
    assert time.monotonic() - begin > 0.1, "there was nothing left to wait for"
    assert (x.asnumpy() == 40).all()
    raise KeyboardInterrupt("after a second wait") from None
"""


def test_sigint_while_a_device_works():
    """What is queued there cannot be taken back: the wait ends, and the next one is as good."""
    from rutile import _rutile

    if _rutile._device_count("fake") == 0:
        pytest.skip("librutile_fake.so is not built")
    child = start("-c", PREAMBLE + "from rutile import _rutile\n" + DEVICE, RUTILE_FAKE_DELAY_US="60000")
    assert "KeyboardInterrupt: after a second wait" in interrupted(child, "a device")


def test_sigint_with_worker_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PREAMBLE + PROCESSES)
    assert "KeyboardInterrupt" in interrupted(start(script), "worker processes")


def run(code, timeout=60):
    done = subprocess.run([sys.executable, "-c", PREAMBLE + textwrap.dedent(code)], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_signal_handlers_of_ones_own():
    """What a handler raises ends a compiled loop, and the function works afterwards."""
    assert "stopped by the timer" in run("""
        import signal
        class Stop(Exception):
            pass
        def handler(*_):
            raise Stop("by the timer")
        signal.signal(signal.SIGALRM, handler)
        @rutile.jit
        def count(v, most):
            return ops.while_loop(lambda c: c[0] < c[1], lambda c: (c[0] * 0.5 + 1.0, c[1]), (v, most))
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            count(Tensor(1.0), Tensor(1e30))
        except Stop as e:
            print("stopped", e)
        assert float(count(Tensor(1.0), Tensor(0.5))[0]) == 1.0
        """)


def test_errors_in_other_threads():
    """An error in one thread is that thread's own; the others and the exit go on."""
    assert "fine" in run("""
        import threading
        seen = []
        def work(i):
            try:
                for k in range(50):
                    ops.matmul(Tensor(np.ones((4, 4), np.float32)), Tensor(np.ones((4 if k < 30 or i % 2 else 5, 4), np.float32)))
                seen.append("done")
            except ValueError:
                seen.append("error")
        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        [t.start() for t in threads]
        [t.join(30) for t in threads]
        assert sorted(seen) == ["done"] * 3 + ["error"] * 3, seen
        def broken():
            training(rutile.PYNATIVE_MODE)(x, Tensor([1.0, 2.0]))
        threading.excepthook = lambda args: print("hook", args.exc_type.__name__)
        t = threading.Thread(target=broken)
        t.start()
        t.join(30)
        assert not t.is_alive() and float(training(rutile.GRAPH_MODE)(x, y)) > 0
        print("fine")
        """)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes(tmp_path, method):
    """Children made after an import compute, also where the parent has used its threads."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(f"""
        import multiprocessing
        import numpy as np
        import rutile
        from rutile import Tensor, ops
        def work(i):
            a = Tensor(np.full((300, 300), float(i), np.float32))
            step = rutile.jit(lambda v: ops.sum(ops.matmul(v, v)))
            return float(ops.sum(ops.matmul(a, a))), float(step(a))
        if __name__ == "__main__":
            print(work(1))
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                got = pool.map_async(work, range(4)).get(50)
            assert got == [(i * i * 300.0**3, i * i * 300.0**3) for i in range(4)], got
            print(work(1), "fine")
        """))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and "fine" in done.stdout, done.stderr
