# SPDX-License-Identifier: Apache-2.0
"""Checkpoints while training: which, when, and under which names."""

import os as _os
import signal as _signal
import stat as _stat
import threading as _threading
import time as _time

from rutile import _rutile
from rutile import nn
from rutile._rutile import Parameter, Tensor
from rutile.train.callback._callback import Callback

_errors = _rutile.errors

__all__ = ["BackupAndRestore", "CheckpointConfig", "ModelCheckpoint", "OnRequestExit", "ResumableCheckpoint"]


def _count(name, value):
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise _errors.TypeError(f"[CheckpointConfig] {name} must be an int, got {value!r}")
    if value is not None and value < 0:
        raise _errors.ValueError(f"[CheckpointConfig] {name} must not be negative, got {value}")
    return value or None


class CheckpointConfig:
    """What ModelCheckpoint does.

    save_checkpoint_steps: every so many steps, else every save_checkpoint_seconds. keep_checkpoint_max: the oldest files
    go, else one of each keep_checkpoint_per_n_minutes stays. saved_network: not the training step with its optimizer but
    this Cell. append_info: "epoch_num", "step_num" and a dict of values go into the file. format: "ckpt" or
    "safetensors"; crc_check, async_save as in save_checkpoint. exception_save: an error that ends the training leaves
    prefix-epoch_step_breakpoint.ckpt.

    >>> from rutile.train import CheckpointConfig
    >>> CheckpointConfig(save_checkpoint_steps=100, keep_checkpoint_max=3).keep_checkpoint_max
    3
    """

    def __init__(self, save_checkpoint_steps=1, save_checkpoint_seconds=0, keep_checkpoint_max=5,
                 keep_checkpoint_per_n_minutes=0, integrated_save=True, async_save=False, saved_network=None,
                 append_info=None, enc_key=None, enc_mode="AES-GCM", exception_save=False, crc_check=False,
                 remove_redundancy=False, format="ckpt", **kwargs):
        steps, seconds = _count("save_checkpoint_steps", save_checkpoint_steps), _count("save_checkpoint_seconds", save_checkpoint_seconds)
        most = _count("keep_checkpoint_max", keep_checkpoint_max)
        minutes = _count("keep_checkpoint_per_n_minutes", keep_checkpoint_per_n_minutes)
        if not (steps or seconds or most or minutes):
            raise _errors.ValueError("[CheckpointConfig] save_checkpoint_steps, save_checkpoint_seconds, "
                                     "keep_checkpoint_max and keep_checkpoint_per_n_minutes cannot all be 0")
        for name, value in (("integrated_save", integrated_save), ("exception_save", exception_save),
                            ("crc_check", crc_check), ("remove_redundancy", remove_redundancy)):
            if not isinstance(value, bool):
                raise _errors.TypeError(f"[CheckpointConfig] {name} must be a bool, got {value!r}")
        if saved_network is not None and not isinstance(saved_network, nn.Cell):
            raise _errors.TypeError(f"[CheckpointConfig] saved_network must be a Cell, got {type(saved_network).__name__}")
        if format not in ("ckpt", "safetensors"):
            raise _errors.ValueError(f"[CheckpointConfig] format is 'ckpt' or 'safetensors', got {format!r}")
        if enc_key is not None:
            raise _errors.UnsupportedError("[CheckpointConfig] files are not encrypted: enc_key must be None")
        self.save_checkpoint_steps, self.save_checkpoint_seconds = steps, None if steps else seconds
        self.keep_checkpoint_max = most if most or minutes else 1
        self.keep_checkpoint_per_n_minutes = None if most else minutes
        self.integrated_save, self.async_save, self.saved_network = integrated_save, async_save, saved_network
        self.enc_key, self.enc_mode, self.exception_save = enc_key, enc_mode, exception_save
        self.crc_check, self.format, self.append_dict = crc_check, format, _append(append_info)

    def get_checkpoint_policy(self):
        """The settings of when and how many."""
        return {k: getattr(self, k) for k in ("save_checkpoint_steps", "save_checkpoint_seconds", "keep_checkpoint_max",
                                              "keep_checkpoint_per_n_minutes", "saved_network")}


def _append(info):
    """What goes into the file besides parameters, None for nothing."""
    if info is None or info == []:
        return None
    if not isinstance(info, list):
        raise _errors.TypeError(f"[CheckpointConfig] append_info must be a list, got {type(info).__name__}")
    found = {}
    for item in info:
        if isinstance(item, str):
            if item not in ("epoch_num", "step_num"):
                raise _errors.ValueError(f"[CheckpointConfig] append_info has 'epoch_num', 'step_num' or a dict, got {item!r}")
            found[item] = 0
        elif isinstance(item, dict):
            for key, value in item.items():
                if not isinstance(key, str) or not isinstance(value, (int, float, bool, str, Parameter, Tensor)):
                    raise _errors.TypeError(f"[CheckpointConfig] append_info cannot hold {key!r}: {type(value).__name__}")
                found[key] = value
        else:
            raise _errors.TypeError(f"[CheckpointConfig] append_info cannot hold {type(item).__name__}")
    return found


def _free_prefix(folder, prefix):
    """prefix, or prefix_1, prefix_2, ... where files of an earlier run have that."""
    taken = 0
    for name in _os.listdir(folder):
        stem, end = _os.path.splitext(name)
        if end not in (".ckpt", ".safetensors") or stem.endswith("_breakpoint") or not stem.startswith(prefix):
            continue
        rest = stem[len(prefix):]
        if rest.startswith("-"):
            taken = max(taken, 1)
        elif rest.startswith("_") and rest[1:].split("-")[0].isdigit() and "-" in rest:
            taken = max(taken, int(rest[1:].split("-")[0]) + 1)
    return f"{prefix}_{taken}" if taken else prefix


def _remove(path):
    try:
        _os.chmod(path, _stat.S_IWRITE | _stat.S_IREAD)
        _os.remove(path)
    except OSError as e:
        import logging
        logging.getLogger("rutile").warning("cannot remove the old checkpoint %s: %s", path, e)


class ModelCheckpoint(Callback):
    """Writes prefix-epoch_step.ckpt files into a folder while Model trains; a last one at the end.

    prefix and directory may be functions of the run's state. Where files of an earlier run have the prefix, this one
    takes prefix_1, prefix_2 and so on. Load them with load_checkpoint.

    >>> from rutile.train import CheckpointConfig, ModelCheckpoint
    >>> callback = ModelCheckpoint("resnet", "/tmp", CheckpointConfig(save_checkpoint_steps=1000))
    """

    def __init__(self, prefix="CKP", directory=None, config=None):
        if not callable(prefix) and (not isinstance(prefix, str) or not prefix or "/" in prefix):
            raise _errors.ValueError(f"[ModelCheckpoint] prefix is a name without '/' or a function, got {prefix!r}")
        if config is not None and not isinstance(config, CheckpointConfig):
            raise _errors.TypeError(f"[ModelCheckpoint] config must be a CheckpointConfig, got {type(config).__name__}")
        self._config = config or CheckpointConfig()
        self._prefix, self._directory = prefix, _os.getcwd() if directory is None else directory
        self._prefix_of = prefix if callable(prefix) else None
        self._directory_of = directory if callable(directory) else None
        if not callable(self._directory):
            self._directory = _os.path.realpath(self._directory)
            _os.makedirs(self._directory, exist_ok=True)
            if self._prefix_of is None:
                self._prefix = _free_prefix(self._directory, prefix)
        self._latest, self._last_step, self._graph_saved, self._args = "", 0, False, None
        self._last_time = self._last_kept = _time.time()
        self._append = dict(self._config.append_dict or {})

    @property
    def latest_ckpt_file_name(self):
        """The path of the latest file."""
        return self._latest

    def step_end(self, run_context):
        self._args = args = run_context.original_args()
        if self._directory_of is not None:
            self._directory = _os.path.realpath(self._directory_of(args))
            _os.makedirs(self._directory, exist_ok=True)
        if self._prefix_of is not None:
            self._prefix = self._prefix_of(args)
            if not isinstance(self._prefix, str) or "/" in self._prefix:
                raise _errors.ValueError(f"[ModelCheckpoint] prefix() must give a name without '/', got {self._prefix!r}")
        self._save_graph(args)
        self._save(args, False)

    def end(self, run_context):
        args = run_context.original_args()
        if args.cur_step_num > 0:
            self._save(args, True)

    def __exit__(self, kind, error, trace):
        if kind is None or not self._config.exception_save or self._args is None or not self._args.cur_step_num:
            return
        args = self._args
        step = (args.cur_step_num - 1) % args.batch_num + 1
        self._write(args, f"{self._prefix}-{args.cur_epoch_num}_{step}_breakpoint")

    def _save_graph(self, args):
        """In GRAPH_MODE the text of the step's graph, once."""
        from rutile import context
        if self._graph_saved or context.get_context("mode") != context.GRAPH_MODE:
            return
        self._graph_saved = True
        if args.train_network._jit is not None:
            with open(_os.path.join(self._directory, f"{self._prefix}-graph.meta"), "w") as f:
                f.write(args.train_network._jit.graph_text())

    def _due(self, args):
        c = self._config
        if c.save_checkpoint_steps:
            return args.cur_step_num >= self._last_step + c.save_checkpoint_steps
        return bool(c.save_checkpoint_seconds) and _time.time() - self._last_time > c.save_checkpoint_seconds

    def _save(self, args, force):
        if args.cur_step_num == self._last_step or not (force or self._due(args)):
            return
        step = (args.cur_step_num - 1) % args.batch_num + 1
        stem = self._prefix if self._prefix_of is not None else f"{self._prefix}-{args.cur_epoch_num}_{step}"
        self._last_step = args.cur_step_num
        if self._config.async_save:
            self._make_room()
        self._write(args, stem)
        # Behind the write: one that fails leaves the older files.
        if not self._config.async_save:
            self._make_room(self._latest)
        self._last_time = self._last_kept = _time.time()

    def _write(self, args, stem):
        from rutile.train.serialization import save_checkpoint
        c = self._config
        for key, value in (("epoch_num", args.cur_epoch_num), ("step_num", args.cur_step_num)):
            if key in self._append:
                self._append[key] = value
        path = _os.path.join(self._directory, f"{stem}.{c.format}")
        save_checkpoint(c.saved_network if c.saved_network is not None else args.train_network, path, c.integrated_save,
                        c.async_save, self._append or None, crc_check=c.crc_check, format=c.format)
        self._latest = path

    def _files(self):
        """Those of this run, oldest first."""
        end = f".{self._config.format}"
        found = []
        for name in _os.listdir(self._directory):
            middle = name[len(self._prefix):-len(end)]
            if name.startswith(self._prefix + "-") and name.endswith(end) and not any(ch.isalpha() for ch in middle):
                found.append(_os.path.join(self._directory, name))
        return sorted(found, key=lambda path: _os.stat(path).st_mtime_ns)

    def _make_room(self, but=None):
        """Removes old files, as if one more than those `but` this were there."""
        c = self._config
        files = [p for p in self._files() if p != but]
        if c.keep_checkpoint_max:
            for path in files[:max(0, len(files) - c.keep_checkpoint_max + 1)]:
                _remove(path)
        elif c.keep_checkpoint_per_n_minutes and _time.time() - self._last_kept < c.keep_checkpoint_per_n_minutes * 60:
            now = _time.time()
            recent = [p for p in files if now - _os.path.getmtime(p) < c.keep_checkpoint_per_n_minutes * 60]
            for path in recent[1:]:
                _remove(path)


class OnRequestExit(Callback):
    """Ends training after the step in which a signal (SIGTERM) comes, and saves what there is as file_name_train.ckpt.

    A run that finds such a file goes on from it. save_mindir is taken and not used: there is no such file yet.
    """

    def __init__(self, save_ckpt=True, save_mindir=False, file_name="Net", directory="./", config_file=None,
                 sig=_signal.SIGTERM):
        if not isinstance(save_ckpt, bool) or not isinstance(sig, int):
            raise _errors.TypeError("[OnRequestExit] save_ckpt is a bool, sig a signal")
        if sig == getattr(_signal, "SIGKILL", None):
            raise _errors.ValueError("[OnRequestExit] SIGKILL cannot be handled")
        self.save_ckpt, self.sig, self.exit = save_ckpt, sig, False
        _os.makedirs(directory, exist_ok=True)
        self._paths = {m: _os.path.join(_os.path.realpath(directory), f"{file_name}_{m}.ckpt") for m in ("train", "eval")}
        self._before = None

    def _begin(self, network, paths):
        self.exit = False
        self._before = _signal.signal(self.sig, self._handle)
        for path in paths if self.save_ckpt else ():
            if _os.path.isfile(path):
                from rutile.train.serialization import load_checkpoint
                load_checkpoint(path, net=network)
                break

    def _finish(self, network, path):
        if self._before is not None:
            _signal.signal(self.sig, self._before)
            self._before = None
        if self.exit and self.save_ckpt:
            from rutile.train.serialization import save_checkpoint
            save_checkpoint(network, path)

    def _handle(self, signum, frame):
        self.exit = True

    def on_train_begin(self, run_context):
        self._begin(run_context.original_args().train_network, [self._paths["train"]])

    def on_train_step_end(self, run_context):
        if self.exit:
            run_context.request_stop()

    def on_train_epoch_end(self, run_context):
        if self.exit:
            run_context.request_stop()

    def on_train_end(self, run_context):
        self._finish(run_context.original_args().train_network, self._paths["train"])

    def on_eval_begin(self, run_context):
        self._begin(run_context.original_args().eval_network, [self._paths["eval"], self._paths["train"]])

    def on_eval_step_end(self, run_context):
        if self.exit:
            run_context.request_stop()

    def on_eval_end(self, run_context):
        self._finish(run_context.original_args().eval_network, self._paths["eval"])


class BackupAndRestore(Callback):
    """Saves what there is to backup_dir after each epoch (save_freq "epoch") or so many steps; the next run that is
    interrupted before its end goes on from there. delete_checkpoint: a run that ends well removes the file."""

    def __init__(self, backup_dir, save_freq="epoch", delete_checkpoint=True):
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq <= 0):
            raise _errors.ValueError(f"[BackupAndRestore] save_freq is 'epoch' or a positive int, got {save_freq!r}")
        self.save_freq, self.delete_checkpoint = save_freq, bool(delete_checkpoint)
        _os.makedirs(backup_dir, exist_ok=True)
        self._file = _os.path.join(_os.path.realpath(backup_dir), "backup.ckpt")

    def on_train_begin(self, run_context):
        if _os.path.isfile(self._file):
            from rutile.train.serialization import load_checkpoint
            load_checkpoint(self._file, net=run_context.original_args().train_network)

    def _save(self, args):
        from rutile.train.serialization import save_checkpoint
        save_checkpoint(args.train_network, self._file)

    def on_train_step_end(self, run_context):
        args = run_context.original_args()
        if self.save_freq != "epoch" and args.cur_step_num % self.save_freq == 0:
            self._save(args)

    def on_train_epoch_end(self, run_context):
        if self.save_freq == "epoch":
            self._save(run_context.original_args())

    def on_train_end(self, run_context):
        if self.delete_checkpoint and not run_context.get_stop_requested() and _os.path.isfile(self._file):
            _remove(self._file)


class ResumableCheckpoint(Callback):
    """Saves all that training changes, and lets a run that is started again go on where the last one was.

    Every save_checkpoint_steps steps and at the end the folder gets a checkpoint with all Parameters of the training step, the
    states of the optimizer, the position and the random numbers'; keep_checkpoint_max of them stay. When training begins and
    there is one, it is loaded and what was done is left out, within an epoch too. So a script needs nothing else to be started
    again by a launcher (python -m rutile.launch --max-restarts, torchrun, an MPIJob), and can be finished by another number of
    processes as long as the batches of all together stay the same. fresh: what an earlier run left is not looked at, unless
    the launcher has started this job again.

    With several processes all have the callback, and the same folder. Rank 0 writes, or each writes a part: with shards, and
    where the optimizer's states are in shards. A checkpoint that was not finished is none.

    Ctrl-C or SIGTERM, for any of the processes, lets all of them finish the same step and save it; then KeyboardInterrupt
    (SystemExit(143)) is raised. A second signal ends the process at once.

    >>> import rutile, tempfile
    >>> from rutile import nn
    >>> net = nn.Dense(1, 1)
    >>> data = [(rutile.Tensor([[1.0]]), rutile.Tensor([[2.0]]))] * 6
    >>> model = rutile.Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.1))
    >>> folder = tempfile.mkdtemp()
    >>> history = model.train(2, data, callbacks=rutile.train.ResumableCheckpoint(folder, 4))
    >>> again = rutile.train.ResumableCheckpoint(folder, 4)
    >>> history = model.train(3, data, callbacks=again)
    >>> again.resumed_from
    12
    """

    def __init__(self, directory, save_checkpoint_steps=100, keep_checkpoint_max=2, shards=False, fresh=False):
        for name, value in (("save_checkpoint_steps", save_checkpoint_steps), ("keep_checkpoint_max", keep_checkpoint_max)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise _errors.TypeError(f"[ResumableCheckpoint] {name} must be an int, got {value!r}")
            if value < 1:
                raise _errors.ValueError(f"[ResumableCheckpoint] {name} must be positive, got {value}")
        self._folder = _os.path.realpath(directory)
        self._steps, self._keep, self._shards, self._fresh = save_checkpoint_steps, keep_checkpoint_max, bool(shards), bool(fresh)
        self._last = -1
        self.resumed_from = 0
        self._before, self._signal, self._agreement, self._stopped = {}, None, None, False
        _os.makedirs(self._folder, exist_ok=True)

    def __enter__(self):
        self._signal, self._stopped = None, False
        if _threading.current_thread() is _threading.main_thread():
            for number in (_signal.SIGINT, _signal.SIGTERM):
                before = _signal.getsignal(number)
                # Somebody else's way to end is left alone, and so is a signal that is ignored.
                if before in (_signal.SIG_DFL, _signal.default_int_handler):
                    self._before[number] = before
                    _signal.signal(number, self._handle)
        return self

    def __exit__(self, kind, error, trace):
        if self._agreement is not None:
            self._agreement.close()
            self._agreement = None
        for number, before in self._before.items():
            if _signal.getsignal(number) == self._handle:
                _signal.signal(number, before)
        self._before = {}
        if not self._stopped or kind is not None:
            return None
        if self._signal == _signal.SIGTERM:
            raise SystemExit(128 + self._signal)
        raise KeyboardInterrupt(f"after step {self._last}, which is saved in {self._folder}"
                                + ("" if self._signal else "; another process was told to stop"))

    def _handle(self, number, frame):
        if self._signal is None:
            self._signal = number
            return
        if number == _signal.SIGINT:
            raise KeyboardInterrupt
        _signal.signal(number, _signal.SIG_DFL)
        _os.kill(_os.getpid(), number)

    @staticmethod
    def _states(network):
        from rutile.nn import _shards
        found = {}
        for p in network.get_parameters():
            if p.name in found and found[p.name][1] is not p:
                raise _errors.ValueError(f"[ResumableCheckpoint] two Parameters of the training step are called {p.name!r}")
            found[p.name] = (p.name, p, *_shards.place(p))
        return list(found.values())

    def on_train_begin(self, run_context):
        args = run_context.original_args()
        self.resumed_from, self._last = 0, args.cur_step_num
        if self._fresh and _rutile.dist.restart_count() == 0:
            return
        found = _rutile.dist.latest_states(self._folder)
        if found is None:
            return
        from rutile.train.serialization import load_param_into_net
        step, values, metadata, path = found
        if metadata.get("batches") not in (None, str(args.batch_num)):
            raise _errors.ValueError(f"[ResumableCheckpoint] {path} is of a run with {metadata['batches']} batches an epoch, this one has "
                                     f"{args.batch_num}: the batches of all processes together must stay the same")
        missing, unused = load_param_into_net(args.train_network, values, strict_load=True)
        if missing or unused:
            raise _errors.ValueError(f"[ResumableCheckpoint] {path} is not of this network: {', '.join((missing or unused)[:5])} "
                                     f"{'are' if len(missing or unused) > 1 else 'is'} in {'the network' if missing else 'the file'} only")
        args.cur_step_num = self.resumed_from = self._last = step

    def _save(self, args):
        if args.cur_step_num == self._last:
            return
        self._last = args.cur_step_num
        _rutile.dist.save_states(self._folder, self._keep, args.cur_step_num, self._states(args.train_network),
                                 {"batches": str(args.batch_num), "ranks": str(_rutile.dist.size())}, self._shards)

    def on_train_step_end(self, run_context):
        args = run_context.original_args()
        if self._agreement is None and _rutile.dist.size() > 1:
            self._agreement = _rutile.dist.StopAgreement()
        stop = self._signal is not None
        self._stopped = self._agreement.next(stop) if self._agreement is not None else stop
        if self._stopped:
            run_context.request_stop()
        if self._stopped or args.cur_step_num % self._steps == 0:
            self._save(args)

    def on_train_end(self, run_context):
        self._save(run_context.original_args())
