"""A minimal kubelet: it creates the volumes of a pod, with the owners, modes and layouts of a real kubelet, and
runs its containers, one after the other.

It is an error if the pod uses a setting that is not implemented here, because it would not be tested.
"""

import os
import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from runtime import Container

# Fields that matter only to the API server, the scheduler and the kubelet.
NOT_FOR_NODES = {"automountServiceAccountToken", "enableServiceLinks", "nodeSelector", "tolerations"}
PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave"}


class Pod:
    """A pod of one container on a node: `Namespaces` with shared mounts, as under systemd.

    `config_maps` has the data of each ConfigMap by name, `images` the root file system of each image by reference.
    """

    def __init__(self, node, folder, spec, *, config_maps, images):
        known = {"volumes", "initContainers", "containers", "securityContext"} | NOT_FOR_NODES
        assert not spec.keys() - known, f"nobody carries out {spec.keys() - known}"
        self._node, self._folder, self._spec, self._images = node, folder, spec, images
        self._config_maps = dict(config_maps)
        self._volumes = {volume["name"]: self._make_volume(**volume) for volume in spec["volumes"]}
        for wanted in spec.get("initContainers") or []:
            with self._run(wanted) as container:
                status = container.wait()
            assert status == 0, f"init container {wanted['name']} ended with {status}: {container.log()}"
        [self._wanted] = spec["containers"]
        self.container = self._run(self._wanted)

    def probe(self, name):
        """Whether this probe of the container succeeds."""
        return self.container.execute(*self._wanted[name]["exec"]["command"]) == 0

    def change_config_map(self, name, data):
        """A ConfigMap was changed, and the kubelet has received the change."""
        self._config_maps[name] = data
        for volume in self._volumes.values():
            if name in volume.config_maps:
                self._write(volume)

    def file(self, volume, name):
        """A file of a volume, as this process sees it."""
        return self._seen(self._volumes[volume].path) / name

    def _run(self, wanted):
        mounts = [self._mount(**mount) for mount in wanted["volumeMounts"]]
        folder = self._folder / wanted["name"]
        image = self._images[wanted["image"]]
        return Container(self._node, folder, wanted, self._spec["securityContext"], mounts, image)

    def _mount(self, name, mountPath, subPath=".", readOnly=False, mountPropagation="None"):
        volume = self._volumes[name]
        assert (self._seen(volume.path) / subPath).is_dir(), f"no directory {subPath} in the volume {name}"
        access = "ro" if readOnly or volume.is_read_only else "rw"
        return {
            "destination": mountPath,
            "type": "bind",
            "source": str(volume.path / subPath),
            "options": ["rbind", PROPAGATION[mountPropagation], access],
        }

    def _make_volume(self, name, **source):
        [(kind, source)] = source.items()
        folder = self._folder / f"volume-{name}"
        folder.mkdir()
        match kind, source:
            case "hostPath", {"path": path, "type": "Directory"}:
                assert self._seen(path).is_dir(), f"the node has no directory {path}"
                return Volume(Path(path))
            case "emptyDir", {"medium": "Memory", "sizeLimit": size}:
                self._mount_tmpfs(folder, size)
                return Volume(folder)
            case "emptyDir", {"sizeLimit": _, **rest} if not rest:
                folder.chmod(0o777)
                return Volume(folder)
            case "configMap", {"name": config_map, **rest} if not rest:
                folder.chmod(0o777)
                return self._write(Volume(folder, (config_map,)))
            case "projected", {"sources": [{"configMap": {"name": config_map}}], **rest} if not rest:
                self._mount_tmpfs(folder, "4Mi")
                return self._write(Volume(folder, (config_map,)))
            case "image", {"reference": reference, "pullPolicy": _}:
                return Volume(self._images[reference], is_read_only=True)
        raise AssertionError(f"nobody makes the volume {name}: {kind} {source}")

    def _mount_tmpfs(self, folder, size):
        # The mode is not set, as in the kubelet: the result is 1777.
        options = f"size={size.removesuffix('i')}"
        self._node.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)

    def _write(self, volume):
        """Writes a version of the files, and activates it by renaming one symbolic link."""
        folder = self._seen(volume.path)
        data = folder / "..data"
        old = folder / os.readlink(data) if data.is_symlink() else None
        new = folder / f"..version_{next(volume.versions)}"
        new.mkdir(mode=0o755)
        for name in volume.config_maps:
            for key, text in self._config_maps[name].items():
                (new / key).write_text(text)
                (new / key).chmod(0o644)
        (folder / "..data_tmp").symlink_to(new.name)
        (folder / "..data_tmp").rename(data)
        for path in folder.iterdir():
            if not path.name.startswith("..") and not (new / path.name).exists():
                path.unlink()
        for path in new.iterdir():
            if not (folder / path.name).is_symlink():
                (folder / path.name).symlink_to(f"..data/{path.name}")
        if old:
            shutil.rmtree(old)
        return volume

    def _seen(self, path):
        return Path(f"/proc/{self._node.pid}/root{path}")


@dataclass
class Volume:
    """A directory of the node, and the ConfigMaps that are written into it."""

    path: Path
    config_maps: tuple = ()
    is_read_only: bool = False

    def __post_init__(self):
        self.is_read_only = self.is_read_only or bool(self.config_maps)
        self.versions = count(1)
