#!/bin/sh
# Makes a package of the program that `make static` has built, in target/packages: `package.sh deb` or
# `package.sh rpm`.
set -eu
cd "$(dirname "$0")/.."

# The time stamp of every file in the package, so that the same commit produces the same package. It is not set for
# cargo build, which would then compile the C libraries again for each commit.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2> /dev/null || stat -c %Y CHANGELOG.md)}"
export SOURCE_DATE_EPOCH

need() {
	case $(cargo "$1" --version 2> /dev/null || :) in
	*"$2") ;;
	# These tools are built without optimization: that takes half the time, and they have little to do.
	*) cargo install --debug --locked "cargo-$1@$2" ;;
	esac
}

packages=target/packages
mkdir -p "$packages"
sh packaging/stage.sh
case $1 in
deb)
	need deb 3.8.0
	rm -f "$packages"/*.deb
	cargo deb --no-build --locked --output "$packages/"
	;;
rpm)
	need generate-rpm 0.21.1
	rm -f "$packages"/*.rpm
	# cargo-generate-rpm looks for dependencies itself: rpm's own search would depend on the machine.
	cargo generate-rpm --auto-req builtin --output "$packages"
	;;
esac
ls "$packages"/*."$1"
