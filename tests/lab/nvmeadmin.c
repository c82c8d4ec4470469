/* SPDX-License-Identifier: BSD-3-Clause */
/* One admin command to a drive of the kernel's driver: nvmeadmin /dev/nvme0 OPCODE CDW10 CDW11 */
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
	struct nvme_admin_cmd cmd = { 0 };
	int fd, status;

	if (argc != 5)
		return 2;
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	cmd.opcode = (__u8)strtoul(argv[2], NULL, 0);
	cmd.cdw10 = (__u32)strtoul(argv[3], NULL, 0);
	cmd.cdw11 = (__u32)strtoul(argv[4], NULL, 0);
	status = ioctl(fd, NVME_IOCTL_ADMIN_CMD, &cmd);
	printf("0x%x\n", (unsigned int)status);
	return status ? 1 : 0;
}
