#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The user land of a guest inside the lab's machine: as the machine's own (tests/guest/init), but it serves on
# its one serial port, where the kernel may say something, too. An answer ends with "@ID STATUS".

export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
while read -r module parameters; do
	# shellcheck disable=SC2086 # the words of a line are insmod's words
	insmod "$module" $parameters
done < /lib/modules/order
serve() {
	stty -F /dev/ttyS0 raw -echo
	exec < /dev/ttyS0 > /dev/ttyS0 2>&1
	echo "@ready"
	while read -r id command; do
		(eval "$command") > /run/output 2>&1 < /dev/null
		status=$?
		cat /run/output
		printf '\n@%s %s\n' "$id" "$status"
	done
	echo "the shell's input has ended"
}

# Not in this process, for what is said there.
serve &
wait
sleep 1
poweroff -f
