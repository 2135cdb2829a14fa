# The units are stopped and disabled; the pins are kept.
if [ "$1" -eq 0 ] && [ -x /usr/bin/systemctl ]; then
	if [ -d /run/systemd/system ]; then
		/usr/bin/systemctl --no-reload disable --now iterctl.service iterctl-watch.service || :
	else
		/usr/bin/systemctl --no-reload disable iterctl.service iterctl-watch.service || :
	fi
fi
