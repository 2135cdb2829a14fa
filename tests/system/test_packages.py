"""The packages of `make deb` and `make rpm`: installed, used, upgraded and removed in a clean root."""

import re
import shutil
import subprocess
import tarfile

import pytest
from clean_root import CleanRoot
from sandbox import BPFFS, ROOT, Ended

PACKAGES = ROOT / "target/packages"
# `cargo install` puts it there in `make test-system`.
INSTALLED = ROOT / "target/installed/bin/iterctl"

COMMANDS = ["apply", "check", "completions", "export", "list", "man"]
COMMANDS += ["pin", "plan", "read", "schema", "unpin", "watch"]
UNITS = ["iterctl.service", "iterctl-watch.service"]
README = "/etc/iterctl.d/README"
DROP_IN = "/etc/iterctl.d/10-tasks.toml"
TASKS = """
[[iter]]
obj = "/usr/lib/bpf/tasks.bpf.o"
path = "observe/tasks"
"""

# Scripts that complete `iterctl ap`. zsh does this only in a terminal: its script prints the completion
# function.
COMPLETE = {
    "bash": """
        . /usr/share/bash-completion/bash_completion
        _completion_loader iterctl
        complete -p iterctl
        COMP_WORDS=(iterctl ap) COMP_CWORD=1
        _iterctl iterctl ap iterctl
        echo "${COMPREPLY[@]}"
    """,
    "zsh": "autoload -Uz compinit; compinit -D; autoload +X $_comps[iterctl]; functions _iterctl",
    "fish": "complete --do-complete 'iterctl ap'",
}

# Paths in the rpm that differ from those in the deb.
MOVED = {
    "/usr/share/zsh/vendor-completions/_iterctl": "/usr/share/zsh/site-functions/_iterctl",
    "/usr/share/doc/iterctl/licences.gz": "/usr/share/licenses/iterctl/licences.gz",
    "/usr/share/doc/iterctl/changelog.gz": "/usr/share/doc/iterctl/CHANGELOG.md",
}
ONLY_IN_DEB = {"/usr/share/doc/iterctl/copyright", "/usr/share/doc/iterctl/changelog.Debian.gz"}
ONLY_IN_RPM = {
    "/usr/lib/systemd/system-preset/50-iterctl.preset",
    *(f"/usr/share/licenses/iterctl/{text.name}" for text in ROOT.glob("LICENSE-*")),
}


def run(*command, status=0, **options):
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    ended = Ended(" ".join(map(str, command)), done.returncode, done.stdout, done.stderr)
    assert ended.status == status, f"expected {status}: {ended}"
    return done.stdout


def the_package(kind):
    found = list(PACKAGES.glob(f"*.{kind}"))
    assert len(found) == 1, f"run `make {kind}`: in {PACKAGES} there are {found}"
    return found[0]


@pytest.fixture(scope="module")
def deb():
    return the_package("deb")


@pytest.fixture(scope="module")
def rpm():
    return the_package("rpm")


@pytest.fixture
def root(tmp_path):
    """A clean root."""
    with CleanRoot(tmp_path) as root:
        yield root


@pytest.fixture(scope="module")
def installed(deb, tmp_path_factory):
    """A root in which the deb is installed, for tests that only look."""
    with CleanRoot(tmp_path_factory.mktemp("installed")) as root:
        apt_install(root, deb)
        yield root


@pytest.fixture(scope="module")
def example(installed, tmp_path_factory):
    """An object, compiled from the example as it is installed."""
    folder = tmp_path_factory.mktemp("examples")
    copied = f"cp -r {installed.inside('/usr/share/doc/iterctl/examples')} {folder}"
    installed.run_outside("sh", "-c", copied)
    run("make", "-C", folder / "examples", "objects")
    return folder / "examples/tasks/tasks.bpf.o"


def apt_install(root, deb):
    root.copy(deb, "/tmp/iterctl.deb")
    return root.run("apt-get", "install", "--yes", "/tmp/iterctl.deb").stdout


def is_enabled(root, unit):
    return root.run("systemctl", "is-enabled", unit, status=None).stdout.strip()


def pin_a_drop_in(root, example):
    root.copy(example, "/usr/lib/bpf/tasks.bpf.o")
    root.run("tee", DROP_IN, stdin=TASKS)
    starts = [line for line in root.run("cat", "/usr/lib/systemd/system/iterctl.service").stdout.splitlines()]
    (command,) = [line.removeprefix("ExecStart=") for line in starts if line.startswith("ExecStart=")]
    root.run(*command.split())
    assert root.pins() == ["observe/tasks"]


def unpacked(deb, folder):
    run("dpkg-deb", "--extract", deb, folder)
    return folder


def paths_of(deb):
    """The files in a deb, without folders."""
    data = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    with data, tarfile.open(fileobj=data.stdout, mode="r|") as archive:
        return {entry.name.removeprefix("."): entry for entry in archive if not entry.isdir()}


# The program


def test_the_program_needs_nothing_but_libc(deb, tmp_path):
    program = unpacked(deb, tmp_path / "deb") / "usr/bin/iterctl"
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "--dynamic", program))
    assert (
        set(needed) <= {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
        and "libc.so.6" in needed
    )

    # A root that contains nothing else.
    for file in re.findall(r"(/\S+) \(0x", run("ldd", program)):
        assert re.search("/(libc|ld-linux)[^/]*$", file), f"{file} is needed, too"
        target = tmp_path / "root" / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    shutil.copy(program, tmp_path / "root/iterctl")
    says = run("chroot", tmp_path / "root", "/iterctl", "-V").splitlines()
    assert says[-1] == "features: vendored-libbpf, vendored-libelf, vendored-zlib"


def test_cargo_install_installs_it():
    assert INSTALLED.is_file(), "run `make test-system`"
    says = run(INSTALLED, "-V").splitlines()
    assert says[0].startswith("iterctl v") and says[-1] == "features: vendored-libbpf"


# The deb


def test_the_deb_depends_on_libc_alone(deb):
    assert re.fullmatch(r"libc6 \(>= 2\.\d+\)", run("dpkg-deb", "--field", deb, "Depends").strip())
    assert run("dpkg-deb", "--field", deb, "Pre-Depends", "Recommends", "Suggests").strip() == ""


def test_lintian_finds_nothing_wrong(deb):
    # This tag is only for packages that Debian itself has.
    suppressed = "--suppress-tags=initial-upload-closes-no-bugs"
    assert run("lintian", "--allow-root", "--fail-on=error,warning", suppressed, deb) == ""


def test_the_deb_does_not_contain_its_build_time(deb, tmp_path):
    times = {entry.mtime for entry in paths_of(deb).values()}
    assert len(times) == 1
    for file in unpacked(deb, tmp_path / "deb").rglob("*.gz"):
        # RFC 1952: bytes 4 to 7.
        assert file.read_bytes()[4:8] == bytes(4), f"{file} has a time"


def test_apt_installs_it_alone(root, deb):
    before = root.packages()
    apt_install(root, deb)
    assert root.packages() - before == {"iterctl installed"}
    assert root.run("iterctl", "-V").stdout.startswith("iterctl v")


def test_every_man_page_is_found(installed):
    pages = ["iterctl", *(f"iterctl-{command}" for command in COMMANDS)]
    found = installed.run("man", "--where", *pages).stdout.split()
    assert found == [f"/usr/share/man/man1/{page}.1.gz" for page in pages]
    found = installed.run("man", "--where", "5", "iterctl.toml").stdout.split()
    assert found == ["/usr/share/man/man5/iterctl.toml.5.gz"]
    brought = installed.run("sh", "-c", "ls /usr/share/man/man?/iterctl*").stdout.split()
    assert len(brought) == len(pages) + 1


@pytest.mark.parametrize("shell", COMPLETE)
def test_completions_load(installed, shell):
    completed = installed.run(shell, "-c", COMPLETE[shell], env={"HOME": "/tmp"})
    assert "apply" in completed.stdout and completed.stderr == ""


def test_the_licences_of_all_parts_are_there(installed):
    folder = installed.inside("/usr/share/doc/iterctl")
    packed = installed.run_outside("gzip", "--decompress", "--stdout", folder / "licences.gz").stdout
    for part in ("libbpf, in libbpf-sys", "elfutils, in libbpf-sys", "zlib, in libbpf-sys", "serde "):
        assert f"\n{part}" in packed
    for text in ("GNU LESSER GENERAL PUBLIC LICENSE", "GNU GENERAL PUBLIC LICENSE", "Jean-loup Gailly"):
        assert text in packed


def test_a_drop_in_is_pinned_and_stays(root, deb, example):
    """The drop-in and its pin survive a removal and an upgrade; a purge keeps the drop-in alone."""
    before = root.files()
    apt_install(root, deb)
    assert [is_enabled(root, unit) for unit in UNITS] == ["enabled", "disabled"]
    pin_a_drop_in(root, example)
    assert root.run("cat", BPFFS / "observe/tasks").stdout.split()[:3] == ["tid", "tgid", "comm"]

    root.run("apt-get", "remove", "--yes", "iterctl")
    assert root.pins() == ["observe/tasks"]
    assert not {"/usr/bin/iterctl", "/usr/lib/systemd/system/iterctl.service"} & root.files()
    assert {DROP_IN, README} <= root.files()

    apt_install(root, deb)
    assert root.run("iterctl", "plan", "-f", "/etc/iterctl.d").stdout == "nothing to do: 1 iterator in sync\n"

    root.run("apt-get", "purge", "--yes", "iterctl")
    added = {"/etc/iterctl.d", DROP_IN, "/usr/lib/bpf", "/usr/lib/bpf/tasks.bpf.o"}
    assert root.files() - before == added
    assert root.pins() == ["observe/tasks"]


def test_purge_leaves_nothing(root, deb):
    before = root.files()
    apt_install(root, deb)
    assert "/etc/iterctl.d" in root.files()
    root.run("apt-get", "purge", "--yes", "iterctl")
    assert root.files() == before


def test_an_upgrade_keeps_the_administrators_settings(root, deb, tmp_path):
    apt_install(root, deb)
    root.run("systemctl", "disable", "iterctl.service")
    root.run("systemctl", "enable", "iterctl-watch.service")
    root.run("tee", README, stdin="my own\n")
    root.run("tee", DROP_IN, stdin=TASKS)

    apt_install(root, later(deb, tmp_path))
    assert root.run("dpkg-query", "--show", "iterctl").stdout.split() == ["iterctl", "99"]
    assert [is_enabled(root, unit) for unit in UNITS] == ["disabled", "enabled"]
    assert root.run("cat", README).stdout == "my own\n"
    assert root.run("cat", DROP_IN).stdout == TASKS


def later(deb, folder):
    """The same package with a later version."""
    run("dpkg-deb", "--raw-extract", deb, folder / "later")
    control = folder / "later/DEBIAN/control"
    control.write_text(re.sub("(?m)^Version: .*", "Version: 99", control.read_text()))
    run("dpkg-deb", "--build", folder / "later", folder / "later.deb")
    return folder / "later.deb"


# The rpm


def test_the_rpm_has_what_the_deb_has(deb, rpm):
    in_deb = set(paths_of(deb)) - ONLY_IN_DEB
    in_rpm = set(run("rpm", "--query", "--list", "--package", rpm).splitlines())
    assert in_rpm == {MOVED.get(path, path) for path in in_deb} | ONLY_IN_RPM


def test_the_rpm_needs_libc_alone(rpm):
    needed = set(run("rpm", "--query", "--requires", "--package", rpm).splitlines())
    ours = re.compile(r"(libc\.so\.6|ld-linux-[\w-]+\.so\.\d|rtld|rpmlib|config)\(.*|/bin/sh")
    assert [need for need in needed if not ours.fullmatch(need)] == []
    assert any(need.startswith("libc.so.6(GLIBC_2.") for need in needed)


def test_the_rpm_knows_configuration_and_documents(rpm):
    flags = run("rpm", "--query", "--package", "--queryformat", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", rpm)
    flag_of = {path: flag for path, _, flag in (line.partition(" ") for line in flags.splitlines())}
    assert flag_of[README] == "cn", "its configuration is to be kept: %config(noreplace)"
    is_document = re.compile("/usr/share/(doc|man)/.*")
    assert {path for path, flag in flag_of.items() if flag == "d"} == set(filter(is_document.match, flag_of))


def test_the_digests_of_the_rpm_are_right(rpm, tmp_path):
    checked = run("rpmkeys", "--checksig", "--verbose", rpm)
    assert checked.count("digest: OK") == 3

    broken = bytearray(rpm.read_bytes())
    broken[-1000] ^= 1
    (tmp_path / "broken.rpm").write_bytes(broken)
    run("rpmkeys", "--checksig", tmp_path / "broken.rpm", status=1)


def test_the_rpm_is_installed_and_erased(root, rpm, example):
    """Uses rpm itself; Debian's rpm database has no package that provides libc."""

    def rpm_does(*arguments):
        root.run_outside("rpm", "--root", root.inside("/"), "--dbpath=/var/lib/rpm", *arguments)

    before = root.files()
    rpm_does("--install", "--nodeps", rpm)
    rpm_does("--verify", "--nodeps", "iterctl")
    assert [is_enabled(root, unit) for unit in UNITS] == ["enabled", "disabled"]
    pin_a_drop_in(root, example)

    # The same happens with a later version.
    root.run("systemctl", "disable", "iterctl.service")
    rpm_does("--upgrade", "--force", "--nodeps", rpm)
    assert is_enabled(root, "iterctl.service") == "disabled"

    root.run("systemctl", "enable", *UNITS)
    rpm_does("--erase", "iterctl")
    # These folders belong to other packages there.
    there = {"/usr/share/licenses", "/usr/share/zsh/site-functions"}
    added = {"/etc/iterctl.d", DROP_IN, "/usr/lib/bpf", "/usr/lib/bpf/tasks.bpf.o"}
    assert root.files() - before - there == added
    assert root.pins() == ["observe/tasks"]
