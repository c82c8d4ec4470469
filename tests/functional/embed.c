/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What somebody writes who links the installed libraries: a disk served over a socket pair, and a
 * VMM's front end at the other end that reads its size. embed.sh compiles it with nothing but what
 * `meson install` put down.
 */
#include <iolane/base.h>
#include <iolane/blk.h>
#include <iolane/vhost_user.h>
#include <iolane/vmm_frontend.h>

#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SECTORS 2048

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, iol_error());
	return 1;
}

int main(void)
{
	struct iol_blk_threads_spec threads_spec = { .num = 1, .poll_us = IOL_BLK_POLL_DEFAULT };
	struct iol_disk_spec disk_spec = { .name = "embedded", .file = "null:1M", .num_queues = 1 };
	struct iol_server_spec server_spec = { .fd = -1 };
	struct iol_frontend_spec frontend_spec = { .fd = -1 };
	struct iol_blk_threads *threads;
	struct iol_disk *disk;
	struct iol_server *server;
	struct iol_frontend *frontend;
	uint64_t sectors;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return 1;
	server_spec.fd = pair[0];
	frontend_spec.fd = pair[1];
	if (iol_blk_threads_new(&threads_spec, &threads))
		return failed("threads");
	if (iol_disk_new(threads, &disk_spec, &disk))
		return failed("disk");
	if (iol_server_new(iol_disk_device(disk), &server_spec, &server))
		return failed("server");
	if (iol_frontend_new(&frontend_spec, &frontend))
		return failed("front end");
	if (iol_frontend_negotiate(frontend, ~0ull, 0))
		return failed("negotiation");
	if (iol_frontend_get_config(frontend, 0, &sectors, sizeof(sectors)))
		return failed("configuration");
	iol_frontend_destroy(&frontend);
	iol_server_destroy(&server);
	iol_disk_destroy(&disk);
	iol_blk_threads_destroy(&threads);
	if (le64toh(sectors) != SECTORS) {
		fprintf(stderr, "the disk has %llu sectors\n",
			(unsigned long long)le64toh(sectors));
		return 1;
	}
	return 0;
}
