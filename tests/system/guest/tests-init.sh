#!/bin/busybox sh
# /init of the initramfs that runs the tests with its own arguments. Their output goes to the second serial
# port. Then it powers off.
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
ln -s /proc/self/fd /dev/fd
chmod 1777 /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
for module in /modules/*; do
	[ ! -e "$module" ] || insmod "$module"
done
stty -F /dev/ttyS1 raw -echo
{ printf 'kernel: '; /iterctl -j check --kernel; } > /dev/ttyS1 2>&1
# Only a few rounds of races, because the processor is emulated.
export ITERCTL_ROUNDS=10
/tests "$@" > /dev/ttyS1 2>&1
poweroff -f
