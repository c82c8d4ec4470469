/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A QEMU that greets well and then says anything. Each line of the input is what the next command is answered with, an event,
 * or as it is: its first byte says which. A device is plugged in and taken out over that.
 */
#include "base/own.h"

#include <iolane/vmm_handover.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HELLO                                                                                      \
	"{\"QMP\": {\"version\": {\"qemu\": {\"minor\": 0, \"major\": 10}}}}\n"                    \
	"{\"return\": {}, \"id\": 0}\n"

/* What a QEMU answers to the commands of an attachment, for inputs to come near it. */
static const char *const usual[] = {
	"[]",
	"[{\"name\": \"p\", \"type\": \"child<pcie-root-port>\"}]",
	"[{\"name\": \"p\", \"type\": \"child<PCIE>\"}]",
	"true",
	"[{\"name\": \"v\", \"type\": \"child<vfio-pci>\"}]",
	"\"/objects/iolane-iommufd-attached\"",
	"{\"status\": \"paused\"}",
	"[{\"name\": \"host\"}, {\"name\": \"iommufd\"}]",
};

static void demand(bool good)
{
	if (!good)
		abort();
}

static void say_line(FILE *out, const char *line, size_t len, unsigned int *id)
{
	unsigned int kind = len ? (unsigned char)line[0] % 16 : 0;

	if (len) {
		line++;
		len--;
	}
	if (kind < 8)
		fprintf(out, "{\"return\": %s, \"id\": %u}\n", usual[kind], ++*id);
	else if (kind < 11)
		fprintf(out, "{\"return\": %.*s, \"id\": %u}\n", (int)len, line, ++*id);
	else if (kind == 11)
		fprintf(out, "{\"error\": {\"desc\": \"%.*s\"}, \"id\": %u}\n", (int)len, line,
			++*id);
	else if (kind == 12)
		fprintf(out, "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"v\"}}\n");
	else if (kind == 13)
		fprintf(out, "{\"event\": \"DEVICE_UNPLUG_GUEST_ERROR\", \"data\": {\"device\": "
			     "\"v\"}}\n");
	else
		fprintf(out, "%.*s\n", (int)len, line);
}

/* Our end of the socket of a monitor that says all of it and then closes. */
static int monitor(const char *data, size_t size, int *theirs)
{
	_cleanup_free_ char *text = NULL;
	unsigned int id = 0;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int fds[2];

	demand(out && !socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	fputs(HELLO, out);
	while (size) {
		const char *end = memchr(data, '\n', size);
		size_t n = end ? (size_t)(end - data) : size;

		say_line(out, data, n, &id);
		n += end != NULL;
		data += n;
		size -= n;
	}
	fclose(out);
	demand(write(fds[1], text, len) == (ssize_t)len);
	shutdown(fds[1], SHUT_WR);
	*theirs = fds[1];
	return fds[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct iol_vmm_device devices[] = {
		{ .kind = IOL_VMM_VF, .id = "v", .where = "0000:01:10.0", .iommufd = true },
		{ .kind = IOL_VMM_BLK, .id = "v", .where = "/s", .packed = true },
		{ .kind = IOL_VMM_NET, .id = "v", .where = "/s", .queues = 2 },
	};
	const struct iol_vm_detach_opts opts = { .timeout_ms = 1 };
	struct iol_vm_detached detached;
	struct iol_qmp *q = NULL;
	char bus[64] = "";
	int fd, theirs, rc;

	if (!size)
		return 0;
	/* It takes what is sent until the end. */
	fd = monitor((const char *)data + 1, size - 1, &theirs);
	demand(!iol_qmp_open_fd(fd, 1000, &q));
	if (data[0] % 4 < 3) {
		rc = iol_vm_attach(q, &devices[data[0] % 4], NULL, NULL, bus);
		demand(rc <= 0 && (rc || *bus));
	}
	rc = iol_vm_detach(q, "v", &opts, &detached);
	demand(rc <= 0);
	iol_qmp_close(&q);
	close(theirs);
	return 0;
}
