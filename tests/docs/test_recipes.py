# SPDX-License-Identifier: Apache-2.0
"""The recipes of docs/distributed.md: the manifest is a v2beta1 MPIJob that fits together, the Ray script runs (on a stand-in for
Ray), and every command line of a launcher there names options that the launcher and the programs have."""

import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import textwrap

import pytest
import yaml

from rutile import _rutile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "distributed.md").read_text(encoding="utf-8")
MLP = ROOT / "build" / "release" / "bin" / "mlp"
needs_gloo = pytest.mark.skipif(bool(_rutile.dist.plugin_error("gloo")), reason="Gloo is not installed")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


# The part of the operator's CustomResourceDefinition (kubeflow.org/v2beta1, MPIJob) and of Kubernetes' pods that a training job
# needs; what is not in it is refused, as the API server does with strict field validation.
NUMBER, TEXT, TEXTS = int, str, [str]
ONE_OF = lambda *values: set(values)  # noqa: E731
CONTAINER = {
    "name": TEXT, "image": TEXT, "command": TEXTS, "args": TEXTS, "workingDir": TEXT,
    "imagePullPolicy": ONE_OF("Always", "IfNotPresent", "Never"), "env": [{"name": TEXT, "value": TEXT}],
    "resources": {"limits": {...: TEXT}, "requests": {...: TEXT}},
    "volumeMounts": [{"name": TEXT, "mountPath": TEXT, "readOnly": bool, "subPath": TEXT}],
    "securityContext": {"runAsUser": NUMBER},
}
POD = {
    "containers": [CONTAINER], "initContainers": [CONTAINER], "terminationGracePeriodSeconds": NUMBER, "hostNetwork": bool,
    "nodeSelector": {...: TEXT}, "restartPolicy": ONE_OF("Always", "OnFailure", "Never"), "serviceAccountName": TEXT,
    "volumes": [{"name": TEXT, "persistentVolumeClaim": {"claimName": TEXT, "readOnly": bool}, "emptyDir": {"medium": TEXT, "sizeLimit": TEXT},
                 "hostPath": {"path": TEXT, "type": TEXT}}],
}
REPLICA = {"replicas": NUMBER, "restartPolicy": ONE_OF("Always", "OnFailure", "Never", "ExitCode"),
           "template": {"metadata": {"labels": {...: TEXT}, "annotations": {...: TEXT}}, "spec": POD}}
MPIJOB = {
    "apiVersion": ONE_OF("kubeflow.org/v2beta1"), "kind": ONE_OF("MPIJob"),
    "metadata": {"name": TEXT, "namespace": TEXT, "labels": {...: TEXT}, "annotations": {...: TEXT}},
    "spec": {
        "slotsPerWorker": NUMBER, "runLauncherAsWorker": bool, "sshAuthMountPath": TEXT,
        "mpiImplementation": ONE_OF("OpenMPI", "Intel", "MPICH"), "launcherCreationPolicy": ONE_OF("AtStartup", "WaitForWorkersReady"),
        "runPolicy": {"cleanPodPolicy": ONE_OF("None", "Running", "All"), "ttlSecondsAfterFinished": NUMBER, "activeDeadlineSeconds": NUMBER,
                      "backoffLimit": NUMBER, "suspend": bool, "managedBy": TEXT,
                      "schedulingPolicy": {"minAvailable": NUMBER, "queue": TEXT, "priorityClass": TEXT}},
        "mpiReplicaSpecs": {"Launcher": REPLICA, "Worker": REPLICA},
    },
}


def problems(value, schema, where="MPIJob"):
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{where} is no mapping"]
        found = [f"{where} has no field {key!r}" for key in value if key not in schema and ... not in schema]
        return found + [p for key, inner in value.items() if key in schema or ... in schema
                        for p in problems(inner, schema.get(key, schema.get(...)), f"{where}.{key}")]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{where} is no list"]
        return [p for i, inner in enumerate(value) for p in problems(inner, schema[0], f"{where}[{i}]")]
    if isinstance(schema, set):
        return [] if value in schema else [f"{where} is {value!r}, not one of {sorted(schema)}"]
    return [] if type(value) is schema else [f"{where} is {value!r}, no {schema.__name__}"]


def manifest():
    (text,) = blocks("yaml")
    return yaml.safe_load(text)


def test_the_manifest_is_a_v2beta1_mpijob():
    assert problems(manifest(), MPIJOB) == []
    broken = manifest()
    broken["spec"]["slots"] = 4
    broken["spec"]["runPolicy"]["backoffLimit"] = "3"
    broken["spec"]["mpiReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]["command"] = ["mpirun", 8]
    assert sorted(problems(broken, MPIJOB)) == [
        "MPIJob.spec has no field 'slots'",
        "MPIJob.spec.mpiReplicaSpecs.Worker.template.spec.containers[0].command[1] is 8, no str",
        "MPIJob.spec.runPolicy.backoffLimit is '3', no int"]


def test_the_manifest_fits_together():
    job = manifest()
    name, spec = job["metadata"]["name"], job["spec"]
    launcher, worker = (spec["mpiReplicaSpecs"][k] for k in ("Launcher", "Worker"))
    (container,) = launcher["template"]["spec"]["containers"]
    command = container["command"]
    assert command[0] == "mpirun" and launcher["replicas"] == 1
    assert int(command[command.index("-n") + 1]) == spec["slotsPerWorker"] * worker["replicas"]
    # The pods of workers are <name>-worker-<k>, in the service <name>.
    variables = dict(command[i + 1].split("=", 1) for i, word in enumerate(command) if word == "-x")
    assert variables["MASTER_ADDR"] == f"{name}-worker-0.{name}" and int(variables["MASTER_PORT"]) > 1023
    # The checkpoints lie on a volume that all workers have, as they are those who write.
    pod = worker["template"]["spec"]
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert set(mounts) <= {v["name"] for v in pod["volumes"]}
    assert any(command[command.index("--checkpoint") + 1].startswith(path + "/") for path in mounts.values())
    assert "--resume" in command and spec["runPolicy"]["backoffLimit"] > 0


# What the script uses of Ray: actors are processes on this machine.
RAY = '''
    import multiprocessing
    import socket

    class _Later:
        def __init__(self, pipe):
            self.pipe = pipe

    class _Method:
        def __init__(self, pipe, name):
            self.pipe, self.name = pipe, name
        def remote(self, *args):
            self.pipe.send((self.name, args))
            return _Later(self.pipe)

    def _serve(pipe, kind):
        actor = kind()
        while True:
            name, args = pipe.recv()
            try:
                pipe.send((True, getattr(actor, name)(*args)))
            except Exception as e:
                pipe.send((False, repr(e)))

    class _Actor:
        def __init__(self, kind):
            self._pipe, other = multiprocessing.Pipe()
            multiprocessing.get_context("fork").Process(target=_serve, args=(other, kind), daemon=True).start()
        def __getattr__(self, name):
            return _Method(self._pipe, name)

    def remote(**resources):
        assert set(resources) <= {"num_cpus", "num_gpus"}, resources
        def of(kind):
            kind.remote = classmethod(lambda k: _Actor(k))
            return kind
        return of

    def get(later):
        if isinstance(later, list):
            return [get(x) for x in later]
        well, value = later.pipe.recv()
        if not well:
            raise RuntimeError(value)
        return value

    class util:
        @staticmethod
        def get_node_ip_address():
            return "127.0.0.1"
'''

TRAINING = """
    import rutile
    from rutile import Tensor, ops, communication
    def main():
        communication.init()
        total = ops.AllReduce()(Tensor([float(communication.get_rank())])).asnumpy().tolist()
        size = communication.get_group_size()
        communication.release()
        return total, size
"""


def write(path, text):
    path.write_text(textwrap.dedent(text))


@needs_gloo
def test_the_ray_script_runs(tmp_path):
    (script,) = [b for b in blocks("python") if "import os, ray" in b]
    write(tmp_path / "my_training.py", TRAINING)
    if os.environ.get("RUTILE_RAY") != "1":  # 1: Ray itself is installed
        write(tmp_path / "ray.py", RAY)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    assert script.count('"29500"') == 1 and script.count("range(4)") == 1 and script.rstrip().splitlines()[-1].startswith("ray.get(")
    lines = script.replace('"29500"', f'"{port}"').rstrip().splitlines()
    lines[-1] = f"print({lines[-1]})"
    write(tmp_path / "script.py", "\n".join(lines).replace("num_cpus=4", "num_cpus=0"))
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=180, cwd=tmp_path,
                          env={**os.environ, "RUTILE_NUM_THREADS": "1", "PYTHONPATH": f"{tmp_path}:" + os.environ.get("PYTHONPATH", "")})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == str([([6.0], 4)] * 4), done.stdout


def launcher_lines():
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line and not line.startswith("#")]


def test_command_lines_name_options_that_exist():
    known = {}

    def options_of(program):
        if program not in known:
            if program == "rutile.launch":
                command = [sys.executable, "-m", program, "--help"]
            else:
                command = [str(MLP.parent / program), "--help"]
            known[program] = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        return known[program]

    seen = set()
    for words in launcher_lines():
        program = "rutile.launch" if "rutile.launch" in words else pathlib.Path(words[0]).name
        if program not in ("rutile.launch", "mlp", "resnet50"):
            continue
        if program != "rutile.launch" and not (MLP.parent / program).exists():
            continue
        seen.add(program)
        own = words[words.index("rutile.launch"):] if program == "rutile.launch" else words
        for word in own:
            if word.startswith("--"):
                assert re.search(rf"(^|[\s,]){re.escape(word)}\b", options_of(program)), f"{program} has no {word}"
    assert "rutile.launch" in seen


# The same places in the job, as each launcher says them.
LAUNCHERS = {
    "torchrun": {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none"},
    "mpirun": {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
               "OMPI_COMM_WORLD_LOCAL_SIZE": "2"},
    "srun": {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0", "SLURM_JOB_ID": "7",
             "SLURM_JOB_NODELIST": "localhost", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS_PER_NODE": "2"},
}


@needs_gloo
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_start_the_script_unchanged(tmp_path, launcher):
    """As torchrun, mpirun and srun would, without them: two processes with the variables that they set."""
    write(tmp_path / "train.py", TRAINING + "\n    print(main())\n")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    strip = ("RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "OMPI_", "PMI_", "SLURM_", "RUTILE_STORE")
    base = {k: v for k, v in os.environ.items() if not k.startswith(strip)}
    base.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RUTILE_NUM_THREADS="1")
    started = []
    for rank in range(2):
        own = {k: str(rank) if k in ("RANK", "LOCAL_RANK") or k.endswith(("WORLD_RANK", "LOCAL_RANK", "PROCID", "LOCALID")) else v
               for k, v in LAUNCHERS[launcher].items()}
        started.append(subprocess.Popen([sys.executable, str(tmp_path / "train.py")], env={**base, **own}, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True))
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.strip() == "([1.0], 2)"
