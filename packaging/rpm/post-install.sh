# $1 is the number of installed versions after this installation. The presets apply only to a first installation.
if [ "$1" -eq 1 ] && [ -x /usr/bin/systemctl ]; then
	/usr/bin/systemctl --no-reload preset iterctl.service iterctl-watch.service || :
fi
