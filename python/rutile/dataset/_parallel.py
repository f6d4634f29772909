# SPDX-License-Identifier: Apache-2.0
"""Work of a pipeline on threads or processes, in order."""

import concurrent.futures as _futures
import multiprocessing as _multiprocessing
import time as _time
from collections import deque as _deque

_TARGET_SECONDS = 0.002  # of work in one task, which costs about 0.00005 itself
_MOST_ROWS = 64


def _run(task, rows):
    """What the task makes of the rows up to the first that fails, with its error, and the time."""
    start, done, error = _time.perf_counter(), [], None
    try:
        for row in rows:
            done.append(task(row))
    except Exception as e:  # noqa: BLE001 - raised when the rows before were delivered
        error = e
    return done, error, _time.perf_counter() - start


_process_task = None


def _start_process(task):
    global _process_task
    _process_task = task


def _run_in_process(rows):
    done, error, seconds = _run(_process_task, rows)
    if error is not None:
        # Causes and tracebacks do not cross processes; the message says where it was.
        error = type(error)(*error.args)
    return done, error, seconds


class Pool:
    """Threads, or processes by spawn that got the task once."""

    def __init__(self, task, workers, processes):
        self.workers = workers
        if processes:
            # spawn, for a fork of a process with threads may hang.
            self._pool = _futures.ProcessPoolExecutor(workers, _multiprocessing.get_context("spawn"), _start_process, (task,))
            self._submit = lambda rows: self._pool.submit(_run_in_process, rows)
        else:
            self._pool = _futures.ThreadPoolExecutor(workers, thread_name_prefix="rutile-dataset")
            self._submit = lambda rows: self._pool.submit(_run, task, rows)

    def submit(self, rows):
        """A future of (results, error, seconds)."""
        return self._submit(rows)

    def close(self):
        """Ends the workers after what they do now."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _chunks(rows, size):
    """Lists of size[0] rows; an error of the rows comes behind those that came before it."""
    chunk = []
    try:
        for row in rows:
            chunk.append(row)
            if len(chunk) >= size[0]:
                yield chunk, None
                chunk = []
    except Exception as e:  # noqa: BLE001 - delivered in its place
        yield chunk, e
        return
    if chunk:
        yield chunk, None


def ordered(rows, pool):
    """task(row) for each row, in order, with a few tasks for each worker under way."""
    size, pending = [1], _deque()

    def results():
        future, error = pending.popleft()
        done, failed, seconds = future.result() if future is not None else ([], None, 0.0)
        if done and seconds > 0:
            size[0] = max(1, min(_MOST_ROWS, int(_TARGET_SECONDS * len(done) / seconds)))
        yield from done
        if failed is not None or error is not None:
            raise failed or error

    try:
        for chunk, error in _chunks(rows, size):
            pending.append((pool.submit(chunk) if chunk else None, error))
            if len(pending) > 2 * pool.workers:
                yield from results()
        while pending:
            yield from results()
    finally:
        for future, _ in pending:
            if future is not None:
                future.cancel()
