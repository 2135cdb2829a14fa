#!/bin/busybox sh
# /init of the initramfs that continues with the root on the disk. If it ends, the kernel panics.
for module in /modules/*; do
	busybox insmod "$module"
done
busybox mount -t devtmpfs devtmpfs /dev
busybox mkdir /disk
tries=0
until busybox mount -t ext4 /dev/vda /disk; do
	tries=$((tries + 1))
	[ "$tries" -lt 100 ] || exit 1
	busybox sleep 0.1
done
busybox umount /dev
exec busybox switch_root /disk /sbin/init
