# $1 is the number of versions that are then installed. What the presets say holds for the first one.
if [ "$1" -eq 1 ] && [ -x /usr/bin/systemctl ]; then
	/usr/bin/systemctl --no-reload preset iterctl.service iterctl-watch.service || :
fi
