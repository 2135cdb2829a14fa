"""The kustomizations of integrations/kubernetes: Kubernetes accepts them, and their settings are right for
`iterctl watch`. There is no cluster here: `kubelet.py` and `runtime.py` do what a node would."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kubelet import Pod
from runtime import make_image
from sandbox import BPFFS, ITERCTL, OBJECTS, ROOT, Namespaces

EXAMPLE = ROOT / "integrations/kubernetes"
TASKS, TCP = ROOT / "examples/tasks/tasks.bpf.o", ROOT / "examples/tcp/tcp.bpf.o"
MIB = 1024 * 1024


def build(name, folder):
    """The documents that `kubectl apply -k` would send to the API server, by kind.

    Debian 12's kubectl has the Kustomize of 2019, in which folders and patches had other names; newer versions
    still accept these.
    """
    shutil.copytree(EXAMPLE, folder)
    file = folder / name / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    patches = [patch["path"] for patch in kustomization.pop("patches", [])]
    resources = kustomization.pop("resources")
    is_folder = [(file.parent / resource).is_dir() for resource in resources]
    assert all(is_folder) or not any(is_folder)
    kustomization["bases" if all(is_folder) else "resources"] = resources
    file.write_text(yaml.dump(kustomization | {"patchesStrategicMerge": patches}))
    built = subprocess.run(["kubectl", "kustomize", file.parent], check=True, capture_output=True, text=True)
    return {document["kind"]: document for document in yaml.safe_load_all(built.stdout)}


@pytest.fixture(params=["base", "image-volume"])
def documents(request, tmp_path):
    return build(request.param, tmp_path / "example")


@pytest.fixture
def base(tmp_path):
    return build("base", tmp_path / "example")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The images that the Dockerfile builds, as root file systems."""
    folder = tmp_path_factory.mktemp("images")
    objects = [(TASKS, "objects"), (TCP, "objects"), (OBJECTS / "rejected.bpf.o", "objects")]
    made = {
        "registry.example/iterctl:0.1.0": make_image(folder / "iterctl", [ITERCTL, "sh", "find", "grep"]),
        "registry.example/iterctl-objects:0.1.0": make_image(folder / "objects", ["cp"], objects),
    }
    yield made
    shutil.rmtree(folder)


@pytest.fixture
def node():
    # The mounts are as under systemd, but with cgroup2 alone: crun refuses it together with cgroup v1.
    cgroups = ["umount --recursive --lazy /sys/fs/cgroup", "mount -t cgroup2 cgroup2 /sys/fs/cgroup"]
    with Namespaces(setup=[*cgroups, "mount --make-rshared /"]) as node:
        yield node


@pytest.fixture
def start(node, tmp_path, images):
    """Starts the pod of a DaemonSet, with the manifest of the example or with another one."""
    pods = []

    def start(documents, manifest=None):
        config_map = documents["ConfigMap"]
        data = {"observe.toml": manifest} if manifest else config_map["data"]
        spec = documents["DaemonSet"]["spec"]["template"]["spec"]
        config_maps = {config_map["metadata"]["name"]: data}
        pods.append(Pod(node, tmp_path, spec, config_maps=config_maps, images=images))
        return pods[-1]

    yield start
    for pod in pods:
        pod.container.close()


def every_second(documents):
    """The same with a round every second, so that no test waits for a minute."""
    command = container_of(documents)["command"]
    command[command.index("--interval=60s")] = "--interval=1s"
    return documents


def make_old(pod):
    """Makes the metrics look old enough for the liveness probe to fail."""
    long_ago = time.time() - 181
    os.utime(pod.file("metrics", "iterctl.prom"), (long_ago, long_ago))


def entries(*names, **keys):
    """A manifest for the DaemonSet that pins these objects, with these keys in each entry."""
    lines = ['set = "observe"', 'bpffs = "/bpffs"']
    for name in names:
        lines += ["[[iter]]", f'obj = "/var/lib/iterctl/objects/{name}.bpf.o"', f'path = "observe/{name}"']
        lines += [f'{key} = "{value}"' for key, value in keys.items()]
    return "\n".join(lines)


def container_of(documents):
    [container] = documents["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    return container


def validate(document, version):
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(("name", "oldest"), [("base", "1.25"), ("image-volume", "1.31")])
def test_kubernetes_accepts_it(name, oldest, tmp_path):
    documents = build(name, tmp_path / "example")

    assert sorted(documents) == ["ConfigMap", "DaemonSet", "Namespace"]
    for version in oldest, kubernetes_validate.latest_version():
        for document in documents.values():
            validate(document, version)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("hostPath:", "hostpath:"),
        ("mountPropagation:", "propagation:"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: sure"),
        ("failureThreshold: 3", "failureThreshold: three"),
        ("name: bpffs", "nam: bpffs"),
    ],
)
def test_a_mistake_is_found(right, wrong, tmp_path):
    daemon_set = yaml.dump(build("base", tmp_path / "example")["DaemonSet"])
    assert right in daemon_set

    validate(yaml.safe_load(daemon_set), "1.25")
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(yaml.safe_load(daemon_set.replace(right, wrong)), "1.25")


def test_pins_follow_the_config_map(documents, start, node):
    pod = start(documents)
    pod.container.wait_until(lambda: pod.probe("readinessProbe"))
    assert node.pins() == ["observe/tasks"]
    assert "tgid comm" in node.run("cat", BPFFS / "observe/tasks").stdout
    first = pod.container.pid

    pod.change_config_map("iterctl", {"observe.toml": entries("tasks", "tcp")})
    pod.container.wait_until(lambda: node.pins() == ["observe/tasks", "observe/tcp"])

    pod.change_config_map("iterctl", {"renamed.toml": entries("tcp")})
    pod.container.wait_until(lambda: node.pins() == ["observe/tcp"])

    assert pod.container.pid == first
    pod.container.kill("TERM")
    assert pod.container.wait() == 0, pod.container.log()
    assert node.pins() == ["observe/tcp"]


def test_pins_can_be_removed_with_the_pod(base, start, node):
    container_of(base)["command"].append("--unpin-on-exit")
    pod = start(base)
    pod.container.wait_until(lambda: node.pins() == ["observe/tasks"])

    pod.container.kill("TERM")
    assert pod.container.wait() == 0, pod.container.log()
    assert node.pins() == []


@pytest.mark.parametrize("bad", ["[[iter", entries("rejected"), entries("missing"), ""])
def test_a_bad_manifest_makes_the_pod_unready_and_restarts_nothing(bad, base, start, node):
    pod = start(every_second(base))
    pod.container.wait_until(lambda: pod.probe("readinessProbe"))

    pod.change_config_map("iterctl", {"observe.toml": bad})
    pod.container.wait_until(lambda: not pod.probe("readinessProbe"))
    make_old(pod)
    pod.container.wait_until(lambda: pod.probe("livenessProbe"))
    assert node.pins() == ["observe/tasks"]

    pod.change_config_map("iterctl", {"observe.toml": entries("tcp")})
    pod.container.wait_until(lambda: pod.probe("readinessProbe"))
    assert node.pins() == ["observe/tcp"]


def test_only_a_watch_that_is_stuck_is_restarted(base, start):
    pod = start(every_second(base))
    pod.container.wait_until(lambda: pod.probe("livenessProbe"))

    make_old(pod)
    pod.container.wait_until(lambda: pod.probe("livenessProbe"))

    pod.container.kill("STOP")
    make_old(pod)
    assert not pod.probe("livenessProbe")
    pod.container.kill("CONT")
    pod.container.wait_until(lambda: pod.probe("livenessProbe"))


def test_the_container_is_confined(base, start):
    pod = start(base)
    pod.container.wait_until(lambda: pod.probe("readinessProbe"))
    lines = Path(f"/proc/{pod.container.pid}/status").read_text().splitlines()
    status = {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}

    numbers = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "SYS_ADMIN": 21}
    added = container_of(base)["securityContext"]["capabilities"]["add"]
    assert int(status["CapBnd"], 16) == sum(1 << numbers[name] for name in added)
    assert status["Seccomp"] == "2"
    assert pod.container.execute("sh", "-c", ": > /run/iterctl/file") == 0
    assert pod.container.execute("sh", "-c", ": > /file") != 0
    limit = container_of(base)["resources"]["limits"]["memory"]
    assert int(status["VmHWM"].removesuffix(" kB")) * 1024 < int(limit.removesuffix("Mi")) * MIB / 2


@pytest.mark.parametrize("left_out", [None, "SYS_ADMIN", "DAC_OVERRIDE", "CHOWN", "FOWNER"])
def test_every_capability_is_needed(left_out, base, start, node):
    added = container_of(base)["securityContext"]["capabilities"]["add"]
    if left_out:
        added.remove(left_out)
    pod = start(base, entries("tasks", owner="65534", mode="0440"))
    pod.container.wait_until(lambda: pod.file("metrics", "iterctl.prom").exists())
    pod.change_config_map("iterctl", {"observe.toml": entries("tasks", owner="65534", mode="0444")})

    def is_done():
        found = node.run("stat", "--format=%a %u", BPFFS / "observe/tasks", status=None).stdout
        return found == "444 65534\n" and pod.probe("readinessProbe")

    pod.container.wait_until(lambda: is_done() or (left_out and "ERROR" in pod.container.log()))
    assert is_done() == (left_out is None), pod.container.log()
    if left_out:
        assert f"CAP_{left_out}" in pod.container.log()


def test_a_bpffs_that_is_mounted_later_is_seen(base, start, node):
    node.run("umount", BPFFS)
    pod = start(base)
    pod.container.wait_until(lambda: "is not a bpffs" in pod.container.log())
    assert not pod.probe("readinessProbe")

    node.run("mount", "-t", "bpf", "bpf", BPFFS)
    pod.container.wait_until(lambda: pod.probe("readinessProbe"))
    assert node.pins() == ["observe/tasks"]


def test_why_the_manifest_is_in_a_projected_volume(base, start):
    volumes = base["DaemonSet"]["spec"]["template"]["spec"]["volumes"]
    [manifest] = (volume for volume in volumes if volume["name"] == "manifest")
    manifest["configMap"] = manifest.pop("projected")["sources"][0]["configMap"]

    pod = start(base)
    pod.container.wait_until(lambda: "every user can write to /etc/iterctl" in pod.container.log())


def test_why_the_objects_are_in_a_directory_of_their_volume(base, start):
    mounts = container_of(base)["volumeMounts"]
    [objects] = (mount for mount in mounts if mount["name"] == "objects")
    objects["mountPath"] = "/var/lib/iterctl"
    del objects["subPath"]

    pod = start(base)
    pod.container.wait_until(lambda: "every user can write to /var/lib/iterctl" in pod.container.log())
