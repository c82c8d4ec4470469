/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes a host, and is cut short: cutshort bind|unbind|undo kill|fail EVENT [ADDRESS]...
 * At the event of that number, from 0 on, it kills itself or lets the step fail. Past the last event it ends with
 * status 0 and prints how many there were.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <iolane/base.h>
#include <iolane/vfio.h>

#define ADDRS_MAX 8

static int at, events;
static bool kills;

static int told(void *opaque, enum iol_step_event event, const struct iol_step *s)
{
	if (events++ != at)
		return 0;
	if (kills)
		raise(SIGKILL);
	return -EINTR;
}

static int change(const char *verb, const struct iol_host *host, const struct iol_pci_addr *addrs,
		  unsigned int count)
{
	struct iol_bind_opts opts = { .change.step = told };

	if (!strcmp(verb, "bind"))
		return iol_bind(host, addrs, count, &opts);
	if (!strcmp(verb, "unbind"))
		return iol_unbind(host, addrs, count, &opts.change);
	return iol_undo(host, &opts.change);
}

int main(int argc, char **argv)
{
	struct iol_pci_addr addrs[ADDRS_MAX];
	struct iol_host *host;
	int i, rc;

	if (argc < 4 || argc - 4 > ADDRS_MAX || iol_host_new(NULL, &host))
		return 2;
	kills = !strcmp(argv[2], "kill");
	at = atoi(argv[3]); /* NOLINT(cert-err34-c): the test writes it */
	for (i = 4; i < argc; i++) {
		if (iol_pci_addr_parse(argv[i], &addrs[i - 4]))
			return 2;
	}
	rc = change(argv[1], host, addrs, (unsigned int)argc - 4);
	iol_host_destroy(&host);
	if (rc < 0) {
		fprintf(stderr, "cutshort: %s\n", iol_error());
		return 1;
	}
	printf("%d\n", events);
	return 0;
}
