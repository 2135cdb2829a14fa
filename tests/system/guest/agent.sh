#!/bin/sh
# Runs the commands that come over the second serial port, one on each line in base64, and answers each with
# one line: its status, and its output in base64.
exec < /dev/ttyS1 > /dev/ttyS1
stty raw -echo
echo ready
while read -r command; do
	said=$(sh -c "$(echo "$command" | base64 --decode)" < /dev/null 2>&1)
	status=$?
	echo "$status $(printf '%s' "$said" | base64 --wrap=0)"
done
