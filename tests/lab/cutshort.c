/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes a host, and is cut short: cutshort bind|unbind|undo kill|fail|open|stop EVENT [ADDRESS]...
 *                                   cutshort apply kill|fail|stop EVENT FILE
 * At the event of that number, from 0 on, it kills itself, lets the step fail, opens the first device's group, or stops
 * until it is told to continue. Past the last event it ends with status 0 and prints how many there were.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <iolane/base.h>
#include <iolane/sriov.h>

#include "tools/iolane/state_file.h"

#define ADDRS_MAX 8

static int at, events;
static const char *how;
static struct iol_pci_addr addrs[ADDRS_MAX];
static struct iol_host *host;

static void open_group(void)
{
	struct iol_pci_info info;
	char path[64];

	if (iol_pci_info(host, &addrs[0], &info))
		exit(2);
	snprintf(path, sizeof(path), "/dev/vfio/%d", info.iommu_group);
	if (open(path, O_RDWR | O_CLOEXEC) < 0)
		exit(2);
}

static int told(void *opaque, enum iol_step_event event, const struct iol_step *s)
{
	if (events++ != at)
		return 0;
	if (!strcmp(how, "kill"))
		raise(SIGKILL);
	if (!strcmp(how, "stop"))
		return raise(SIGSTOP);
	if (!strcmp(how, "fail"))
		return -EINTR;
	open_group();
	return 0;
}

static int change(const char *verb, unsigned int count)
{
	struct iol_bind_opts opts = { .change.step = told };

	if (!strcmp(verb, "bind"))
		return iol_bind(host, addrs, count, &opts);
	if (!strcmp(verb, "unbind"))
		return iol_unbind(host, addrs, count, &opts.change);
	return iol_apply_undo(host, &opts.change);
}

static int apply(const char *path)
{
	struct iol_change_opts opts = { .step = told };
	struct iol_state state;
	int rc = state_load(host, path, &state);

	if (rc)
		return rc;
	rc = iol_apply(host, &state, &opts);
	state_clear(&state);
	return rc;
}

int main(int argc, char **argv)
{
	bool applies;
	int i, rc;

	if (argc < 4 || argc - 4 > ADDRS_MAX || iol_host_new(NULL, &host))
		return 2;
	how = argv[2];
	at = atoi(argv[3]); /* NOLINT(cert-err34-c): the test writes it */
	applies = argc == 5 && !strcmp(argv[1], "apply");
	for (i = 4; !applies && i < argc; i++) {
		if (iol_pci_addr_parse(argv[i], &addrs[i - 4]))
			return 2;
	}
	rc = applies ? apply(argv[4]) : change(argv[1], (unsigned int)argc - 4);
	iol_host_destroy(&host);
	if (rc < 0) {
		fprintf(stderr, "cutshort: %s\n", iol_error());
		return 1;
	}
	printf("%d\n", events);
	return 0;
}
