/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs in the lab's machine: vfprobe_count VERB ..., a line for each fact. Exits with 1 and the sentence when the
 * library fails.
 */
#include "sriov/count.h"
#include "sriov/nvme.h"
#include "sriov/pf.h"
#include "vfioprobe.h"

#include <string.h>

static struct iol_host *host;

static struct iol_pf pf_of(const char *name)
{
	struct iol_pf pf;

	need(!iol_pf_find(host, name, &pf), "no PF");
	return pf;
}

static void show_pf(const struct iol_pf *pf)
{
	printf("%s driver=%s netdev=%s nvme=%s total=%u enabled=%u initial=%u offset=%u stride=%u "
	       "device=%x ari=%d autoprobe=%d node=%d bars=",
	       pf->name, pf->driver, pf->netdev, pf->nvme, pf->total, pf->enabled, pf->initial,
	       pf->offset, pf->stride, pf->vf_device, pf->ari, pf->autoprobe, pf->numa_node);
	for (int i = 0; i < IOL_VF_BARS; i++)
		printf("%s%llu", i ? "," : "", (unsigned long long)pf->vf_bar[i]);
	printf("\n");
}

static void show(char **words)
{
	struct iol_pf pf = pf_of(words[0]);

	show_pf(&pf);
}

static void list(char **words)
{
	struct iol_pf *pfs;
	int n = iol_pf_list(host, &pfs);

	need(n >= 0, "no list");
	for (int i = 0; i < n; i++)
		show_pf(&pfs[i]);
	free(pfs);
}

static void serial(char **words)
{
	struct iol_pf pf;

	need(!iol_pf_find_serial(host, words[0], words[1], &pf), "not found");
	printf("%s\n", pf.name);
}

static void path(char **words)
{
	struct iol_pf pf;

	need(!iol_pf_find_path(host, words[0], &pf), "not found");
	printf("%s\n", pf.name);
}

static void count(char **words)
{
	struct iol_pf pf = pf_of(words[0]);

	need(!iol_vf_count_set(host, &pf, (unsigned int)atoi(words[1]), IOL_VF_WAIT_MS), "not set");
	/* As of before: where VFs are now is not its to know. */
	for (unsigned int i = 0; pf.is_pci && i < (unsigned int)atoi(words[1]); i++) {
		char text[IOL_PCI_ADDR_MAX];
		struct iol_pci_addr addr;

		need(!iol_vf_addr(host, &pf, i, &addr), "no VF %u", i);
		printf("%s\n", iol_pci_addr_format(&addr, text));
	}
}

static void autoprobe(char **words)
{
	struct iol_pf pf = pf_of(words[0]);

	need(!iol_vf_autoprobe_set(host, &pf, atoi(words[1])), "not set");
}

static void nvme(char **words)
{
	struct iol_pf pf = pf_of(words[0]);
	struct iol_nvme_caps caps;
	struct iol_vf_nvme *vfs;
	int n;

	need(!iol_vf_nvme_caps(host, &pf, &caps), "no capabilities");
	printf("queues %u/%u at most %u, interrupts %u/%u at most %u\n", caps.queues.assigned,
	       caps.queues.total, caps.queues.most, caps.interrupts.assigned, caps.interrupts.total,
	       caps.interrupts.most);
	n = iol_vf_nvme_list(host, &pf, &vfs);
	need(n > 0, "no list");
	for (int i = 0; i < n; i++)
		printf("%d queues=%u interrupts=%u %s\n", i, vfs[i].queues, vfs[i].interrupts,
		       vfs[i].online ? "online" : "offline");
	free(vfs);
}

static void nvme_set(char **words)
{
	struct iol_pf pf = pf_of(words[0]);
	struct iol_vf_nvme want = {
		.queues = (unsigned int)atoi(words[2]),
		.interrupts = (unsigned int)atoi(words[3]),
		.online = !strcmp(words[4], "online"),
	};

	need(!iol_vf_nvme_set(host, &pf, (unsigned int)atoi(words[1]), &want), "not set");
}

static const struct {
	const char *verb;
	int words;
	void (*run)(char **words);
} verbs[] = {
	{ "show", 1, show }, { "list", 0, list },         { "serial", 2, serial },
	{ "path", 1, path }, { "count", 2, count },       { "autoprobe", 2, autoprobe },
	{ "nvme", 1, nvme }, { "nvme-set", 5, nvme_set },
};

int main(int argc, char **argv)
{
	need(!iol_host_new(NULL, &host), "no host");
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(verbs[i].verb, argv[1]) != 0 || argc != verbs[i].words + 2)
			continue;
		verbs[i].run(argv + 2);
		iol_host_destroy(&host);
		return 0;
	}
	need(false, "vfprobe_count show|list|serial|path|count|autoprobe|nvme|nvme-set ...");
}
