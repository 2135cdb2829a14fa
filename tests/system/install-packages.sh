#!/bin/sh
# Installs the missing packages that tests/system needs, for `boot` or for the rest. None of them starts a
# service: dropbear-bin is only the binary of an SSH server, and puppet's agent is left disabled.
set -eu

case $1 in
system)
	packages="crun dropbear-bin golang-github-containers-common iproute2 lintian man-db mmdebstrap \
		openssh-client puppet python3 python3-dev python3-venv rpm ruby systemd util-linux"
	# A kubectl of another package is good enough, and would conflict with Debian's.
	command -v kubectl > /dev/null || packages="$packages kubernetes-client"
	;;
boot)
	packages="busybox-static cpio debian-archive-keyring e2fsprogs kmod mmdebstrap python3 python3-venv \
		qemu-system-x86 util-linux"
	;;
esac

missing=
for package in $packages; do
	dpkg-query --show --showformat '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' ||
		missing="$missing $package"
done
[ "$missing" ] || exit 0
echo "missing:$missing"

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}
as_root apt-get update
# shellcheck disable=SC2086 # one word for each package
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
