# $1 is the number of versions that are then installed. The presets apply to the first one.
if [ "$1" -eq 1 ] && [ -x /usr/bin/systemctl ]; then
	/usr/bin/systemctl --no-reload preset iterctl.service iterctl-watch.service || :
fi
