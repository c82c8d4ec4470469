/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs in the lab's machine, on a device that is bound to vfio-pci, or a mediated one:
 * vfioprobe [--unsafe] [--fds=CONTEXT,DEVICE] [--uid=N] CONTEXT ADDRESS|UUID PROBE...
 * With --fds it opens no node of VFIO's, as somebody else did; with --uid it is somebody who could not.
 * Exits with 0 when all was as it must be, with 1 when not, and with 3 when the device was refused.
 */
#include "vfioprobe.h"

#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What somebody outside brings about. */
static void await(struct probe *p, enum iol_irq kind, const char *name)
{
	int fd, nobody = -1;

	probe_vectors(p, kind, &fd, 1);
	need(!probe_signalled(fd, STAYS_MS), "one came without a reason");
	printf("waiting for %s\n", name);
	need(probe_signalled(fd, 80000), "none came");
	/* One that nobody hears can be ended, too. */
	need(!iol_irq_set(p->dev, kind, 0, &nobody, 1), "it can't be left alone");
	need(!iol_irq_clear(p->dev, kind), "they do not end");
	close(fd);
}

/* The machine takes the device away, and the kernel asks for it. */
static void request(struct probe *p)
{
	await(p, IOL_IRQ_REQUEST, "a request");
}

/* The device tells of an error. */
static void error(struct probe *p)
{
	await(p, IOL_IRQ_ERROR, "an error");
}

static const struct {
	const char *name;
	void (*run)(struct probe *p);
} probes[] = {
	{ "dma", edu_dma },          { "faults", edu_faults },
	{ "msi", edu_msi },          { "intx", edu_intx },
	{ "cycles", edu_cycles },    { "entries", edu_entries },
	{ "nvme", nvme_io },         { "peer", edu_peer },
	{ "sleep", edu_sleep },      { "hot-reset", nvme_hot_reset },
	{ "request", request },      { "dirty", edu_dirty },
	{ "locked", edu_locked },    { "request", request },
	{ "error", error },          { "vf", igb_vf },
	{ "token", igb_token },      { "lines", mtty_lines },
	{ "migrate", mtty_migrate }, { "vectors", xhci_msi },
	{ "bus", edu_bus },          { "stray", edu_stray },
	{ "storm", igb_storm },
};

static void log_line(void *ctx, enum iol_log_level level, const char *line)
{
	printf("log: %s\n", line);
}

static void run(struct probe *p, char *name)
{
	char *colon = strchr(name, ':');

	p->word = colon ? colon + 1 : NULL;
	if (colon)
		*colon = 0;
	for (size_t i = 0; i < COUNT(probes); i++) {
		if (strcmp(probes[i].name, name) != 0)
			continue;
		probes[i].run(p);
		printf("%s: as it must be\n", name);
		return;
	}
	need(false, "no probe is called %s", name);
}

static enum iol_context_kind kind_of(const char *name)
{
	static const char *const names[] = { "auto", "iommufd", "type1", "noiommu" };

	for (size_t i = 0; i < COUNT(names); i++)
		if (!strcmp(names[i], name))
			return (enum iol_context_kind)i;
	need(false, "no context is called %s", name);
	return IOL_CONTEXT_AUTO;
}

static void show(struct probe *p)
{
	struct iol_context_info info;
	struct iol_reset_methods methods;

	need(!iol_context_info(p->ctx, &info), "no facts");
	printf("context %s, pages 0x%llx, %zu ranges, entries %zu and %u left\n", info.name,
	       (unsigned long long)info.page_sizes, info.num_ranges, info.entries,
	       info.entries_left);
	if (p->spec.mdev)
		return;
	need(!iol_reset_methods(p->host, &p->spec.addr, &methods), "no methods");
	printf("resets:");
	for (unsigned int i = 0; i < methods.num; i++)
		printf(" %s", methods.name[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct iol_context_spec spec = { 0 };
	unsigned int fds = probe_fds();
	struct probe p = { 0 };
	unsigned int uid;
	int i = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	iol_log_set(log_line, NULL, IOL_LOG_INFO);
	for (; i < argc && argv[i][0] == '-'; i++) {
		spec.unsafe_interrupts |= !strcmp(argv[i], "--unsafe");
		sscanf(argv[i], "--fds=%d,%d", &spec.fd, &p.spec.fd);
		if (sscanf(argv[i], "--uid=%u", &uid) == 1)
			need(!setuid(uid) && geteuid() == uid, "no other user");
	}
	need(argc > i + 1, "vfioprobe [OPTION...] CONTEXT ADDRESS PROBE...");
	spec.kind = kind_of(argv[i++]);
	if (strchr(argv[i], ':'))
		need(!iol_pci_addr_parse(argv[i], &p.spec.addr), "no address");
	else
		p.spec.mdev = argv[i];
	i++;
	need(!iol_host_new(NULL, &p.host), "no host");
	need(!iol_context_new(p.host, &spec, &p.ctx), "no context");
	if (iol_vfio_open(p.ctx, &p.spec, &p.dev)) {
		printf("refused: %s\n", iol_error());
		iol_context_destroy(&p.ctx);
		iol_host_destroy(&p.host);
		need(probe_fds() == fds, "%u descriptors, not %u", probe_fds(), fds);
		return 3;
	}
	show(&p);
	probe_start(&p);
	for (; i < argc; i++)
		run(&p, argv[i]);
	/* Whoever is destroyed first: the context waits for its device. */
	iol_context_destroy(&p.ctx);
	iol_vfio_close(&p.dev);
	iol_host_destroy(&p.host);
	need(probe_fds() == fds, "%u descriptors, not %u", probe_fds(), fds);
	return 0;
}
