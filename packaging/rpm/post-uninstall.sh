if [ "$1" -ge 1 ]; then
	# After an upgrade, the pins stay as they are, but a running watch must be restarted with the new program.
	if [ -d /run/systemd/system ]; then
		/usr/bin/systemctl try-restart iterctl-watch.service || :
	fi
else
	# With cargo-generate-rpm 0.21.1, the package cannot own folders (`dir = true` fails), so rpm does not remove these.
	for folder in /etc/iterctl.d /usr/share/doc/iterctl /usr/share/licenses/iterctl; do
		find "$folder" -depth -type d -empty -delete 2> /dev/null || :
	done
fi
