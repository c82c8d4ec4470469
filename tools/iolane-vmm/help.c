/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

/* No more lines than a screen has, and none wider. */
const char options_help[] =
	"Usage: iolane-vmm --kernel=FILE [OPTION]...\n"
	"Boot Linux as a guest of KVM, with devices of this host.\n"
	"\n"
	"  --kernel=FILE      a bzImage, or a vmlinux that was built with CONFIG_PVH\n"
	"  --initrd=FILE      its initial RAM disk\n"
	"  --cmdline=TEXT     its command line (default console=ttyS0)\n"
	"  --memory=SIZE      memory, such as 512M (default) or 4G\n"
	"  --cpus=N           processors, 1 to 254 (default 1)\n"
	"  --hugepages        take the memory from this host's 2 MiB pages\n"
	"  --vfio=DEVICE      pass a PCI function through that 'iolane bind' has taken: an\n"
	"                     address, or a name such as eth3/vf2; repeat it for more\n"
	"  --blk=SOCKET       a disk of the vhost-user back end at SOCKET, as iolane-blk is\n"
	"  --net=SOCKET       a NIC, likewise; both may be repeated\n"
	"  --no-reboot        end with status 3 when the guest resets\n"
	"  --verbose          log more\n"
	"  --help, --version  say this, or the version, and end\n"
	"\n"
	"Terminal and guest's serial port are one. There, Ctrl-A X ends the guest, Ctrl-A H\n"
	"helps. Devices get PCI slots from 1 on, in the order they are named in.\n"
	"Exit status: 0 the guest powered off or was ended, 1 something failed, 2 wrong command\n"
	"line, 3 the guest reset (--no-reboot).\n";
