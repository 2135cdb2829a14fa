#!/bin/sh
# Puts into target/package the contents of the packages that are not files of the repository: man pages,
# completions, licences, examples without objects, integrations, Debian's changelog, and the program without
# its symbols for the rpm (cargo-deb strips the program itself). Needs the program that `make static`
# builds, and SOURCE_DATE_EPOCH.
set -eu
cd "$(dirname "$0")/.."

program=${CARGO_TARGET_DIR:-target}/release/iterctl
stage=target/package

rm -rf "$stage"
mkdir -p "$stage/completions"

strip -o "$stage/iterctl" "$program"

"$program" man --dir "$stage/man"
# Debian and rpm require compressed pages. gzip -n stores no name and no time, so the same pages have the same bytes.
gzip -9n "$stage"/man/*

for shell in bash zsh fish; do
	"$program" completions "$shell" > "$stage/completions/$shell"
done

/usr/bin/python3 packaging/licences.py > "$stage/licences"
gzip -9n "$stage/licences"

# The demo, and the program that creates its map, are left out, because they need the whole repository.
find examples integrations -name __pycache__ -prune -o \
	-type f ! -name '*.bpf.o' ! -name '*.rs' ! -name demo.sh ! -name '.*' -print |
	tar --create --files-from=- | tar --extract --directory="$stage"
cp packaging/examples.mk "$stage/examples/Makefile"

version=$("$program" -V | sed -n 's/^iterctl v//p')
cat > "$stage/changelog.Debian" << END
iterctl ($version-1) unstable; urgency=medium

  * Version $version: see changelog.gz beside this file.

 -- The iterctl developers <developers@iterctl.invalid>  $(LC_ALL=C date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
END
