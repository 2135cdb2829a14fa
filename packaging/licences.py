"""Prints the licences of everything that is linked into iterctl with the feature `vendored`: for the
packages.
"""

import json
import subprocess
import sys
from pathlib import Path

TEXTS = ("LICENSE*", "LICENCE*", "COPYING*", "COPYRIGHT*", "NOTICE*", "UNLICENSE*")
# The C sources that come with libbpf-sys.
VENDORED = ("libbpf", "elfutils", "zlib")


def linked_crates():
    """Cargo's data on every crate that is linked, except iterctl itself, sorted by name and version."""
    rustc = subprocess.run(["rustc", "-vV"], check=True, text=True, stdout=subprocess.PIPE)
    host = next(line.removeprefix("host: ") for line in rustc.stdout.splitlines() if "host: " in line)
    cargo = ["cargo", "metadata", "--locked", "--format-version=1", "--features=vendored"]
    metadata = json.loads(subprocess.check_output([*cargo, f"--filter-platform={host}"]))
    crates = {crate["id"]: crate for crate in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    found, rest = {root}, [root]
    while rest:
        for dependency in nodes[rest.pop()]["deps"]:
            crate = dependency["pkg"]
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_linked and not runs_in_rustc(crates[crate]) and crate not in found:
                found.add(crate)
                rest.append(crate)
    # Packages that come from no registry are iterctl's own.
    others = (crates[crate] for crate in found if crates[crate]["source"])
    return sorted(others, key=lambda crate: (crate["name"], crate["version"]))


def runs_in_rustc(crate):
    return any("proc-macro" in target["kind"] for target in crate["targets"])


def sources(crate):
    """The folders that may hold licences, each with the name of the library in it."""
    folder = Path(crate["manifest_path"]).parent
    name = f"{crate['name']} {crate['version']}"
    yield name, folder
    if crate["name"] == "libbpf-sys":
        for vendored in VENDORED:
            yield f"{vendored}, in {name}", folder / vendored


def main():
    holders_of = {}
    print(
        "The software that is linked into iterctl, and its licences. The texts follow. Above each text are the"
        " parts that it applies to.\n"
    )
    for crate in linked_crates():
        print(f"{crate['name']} {crate['version']}: {crate['license'] or crate['license_file']}")
        for holder, folder in sources(crate):
            files = {file for pattern in TEXTS for file in folder.glob(pattern) if file.is_file()}
            for file in sorted(files):
                holders_of.setdefault(file.read_text(errors="replace").strip(), []).append(holder)
    for text, holders in holders_of.items():
        print(f"\n{'=' * 80}\n{chr(10).join(dict.fromkeys(holders))}\n{'=' * 80}\n\n{text}")


if __name__ == "__main__":
    sys.exit(main())
