#!/bin/sh
# Shows every step of iterctl on this machine. `make demo` builds what it needs and runs it, from the top
# folder. Needs root (or sudo). It always cleans up, however it ends.
set -eu

bpffs=/sys/fs/bpf
map=$bpffs/iterctl_demo_map
manifest=examples/iters.toml
changed=examples/.demo-changed.toml
release=${CARGO_TARGET_DIR:-target}/release

sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo

say() {
	printf '\n# %s\n' "$*"
}

fail() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

iterctl() {
	printf '$ iterctl %s\n' "$*"
	$sudo "$release/iterctl" "$@"
}

# Not `head PIN`: it reads too far and seeks back, which an iterator cannot.
show() {
	printf '$ cat %s | head -n 5\n' "$1"
	output=$($sudo cat "$1")
	[ "$output" ] || fail "$1 printed nothing"
	printf '%s\n' "$output" | head -n 5
}

owns_map=
owns_set=
owns_mount=
cleanup() {
	status=$?
	trap - EXIT INT TERM HUP
	rm -f "$changed"
	if [ "$owns_set" ]; then
		$sudo "$release/iterctl" unpin --set demo || status=1
	fi
	if [ "$owns_map" ]; then
		$sudo rm -f "$map" || status=1
		if $sudo test -d "$bpffs/demo"; then
			$sudo rmdir "$bpffs/demo" || status=1
		fi
	fi
	if [ "$owns_mount" ]; then
		$sudo umount "$bpffs" || status=1
	fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

[ -x "$release/iterctl" ] || fail "no $release/iterctl: run \`make demo\`"

if [ "$(stat -f -c %T "$bpffs")" != bpf_fs ]; then
	say "No bpffs is mounted on $bpffs, so mount one for the demo"
	printf '$ mount -t bpf bpf %s\n' "$bpffs"
	$sudo mount -t bpf -o mode=0700 bpf "$bpffs"
	owns_mount=yes
fi

for path in "$map" "$bpffs/demo"; do
	if $sudo test -e "$path"; then
		fail "$path is in the way: remove it (\`iterctl unpin --set demo\` removes a demo's pins)"
	fi
done

say "A map to iterate over: in real life, another program's"
printf '$ make-map %s\n' "$map"
owns_map=yes
$sudo "$release/examples/make-map" "$map"

say "Is the manifest right? Nobody needs privileges to know"
iterctl check -f "$manifest"

say "What would change?"
iterctl plan -f "$manifest"

say "Make it so: all of it, or nothing"
owns_set=yes
iterctl apply -f "$manifest"

say "Iterators print text on demand"
show "$bpffs/demo/tasks"
show "$bpffs/demo/netlink"
show "$bpffs/demo/elements"

say "Again: there is nothing to do"
iterctl apply -f "$manifest"

say "What is pinned, and whose is it?"
iterctl list

say "The manifest changes: no netlink sockets, and the tasks for root only"
sed -e '/netlink/,/^$/d' -e '/^path = "demo\/tasks"$/a\
mode = "0400"' "$manifest" > "$changed"
printf '$ diff %s %s\n' "$manifest" "$changed"
if diff "$manifest" "$changed"; then
	fail "the changed manifest is the same as before"
fi

say "Only that changes"
iterctl plan -f "$changed"
iterctl apply -f "$changed"

say "And all of it can go"
iterctl unpin --set demo
owns_set=
iterctl list

say "That was all. Nothing stays behind"
