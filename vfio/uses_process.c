/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which processes have functions open. A group's node and a device's own are told by name. With a group the device itself
 * is a descriptor without a name: Linux 6.18 tells the device of it, before that it is known only that a process has one.
 */
#include "vfio/uses.h"

#include "base/own.h"
#include "vfio/grow.h"
#include "vfio/host.h"
#include "vfio/pci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define ANONYMOUS "anon_inode:[vfio-device]"
#define TELLS     "vfio-device-syspath:"

/* A function that a VFIO driver has. @busy: somebody has it. @named: it is known who. */
struct taken {
	const struct iol_pci_info *pci;
	bool busy, named;
};

/* A node of /dev/vfio, and a function (by its place in the list) that whoever has it open may be using. */
struct node {
	char path[IOL_NAME_MAX];
	size_t of;
};

/* A process that has a device of which is not known which. @grouped: it has a group's node open, which may explain it. */
struct suspect {
	char comm[32];
	int pid;
	bool grouped;
};

struct search {
	const struct iol_host *host;
	struct taken *functions;
	struct node *nodes;
	struct suspect *suspects;
	size_t function_count, node_count, suspect_count;
	size_t function_room, node_room, suspect_room;
	struct use_list *uses;
	bool cdevs; /* devices have nodes of their own (Linux 6.6) */
	bool no_memory;
};

static void add_node(struct search *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add_node(struct search *s, const char *fmt, ...)
{
	struct node *node = iol_add(s, node);
	va_list args;

	if (!node)
		return;
	va_start(args, fmt);
	vsnprintf(node->path, sizeof(node->path), fmt, args);
	va_end(args);
	node->of = s->function_count - 1;
}

/* The group's node, and the device's own. */
static void add_function(struct search *s, const struct iol_pci_info *pci, bool busy)
{
	_cleanup_dir_ DIR *dir = NULL;
	struct taken *function = iol_add(s, function);
	char name[IOL_PCI_ADDR_MAX];
	const char *entry;

	if (!function)
		return;
	function->pci = pci;
	function->busy = busy;
	if (pci->iommu_group >= 0) {
		add_node(s, "/dev/vfio/%d", pci->iommu_group);
		add_node(s, "/dev/vfio/noiommu-%d", pci->iommu_group);
	}
	if (s->cdevs)
		dir = iol_host_opendir(s->host, "sys/bus/pci/devices/%s/vfio-dev",
				       iol_pci_addr_format(&pci->addr, name));
	while (dir && (entry = iol_host_next(dir)))
		add_node(s, "/dev/vfio/devices/%s", entry);
}

static void read_comm(const struct iol_host *host, int pid, char comm[32])
{
	if (iol_host_read(host, comm, 32, "proc/%d/comm", pid) < 0)
		strcpy(comm, "a process");
}

/* Several descriptors of a process are told once. */
static void name_process(struct search *s, size_t of, int pid, const char *what, const char *how)
{
	const struct iol_pci_addr *addr = &s->functions[of].pci->addr;
	char comm[32];
	size_t i;

	s->functions[of].named = true;
	for (i = 0; i < s->uses->count; i++) {
		const struct iol_use *use = &s->uses->list[i];

		if (use->kind == IOL_USE_PROCESS && use->pid == pid &&
		    iol_pci_addr_equal(&use->addr, addr))
			return;
	}
	read_comm(s->host, pid, comm);
	iol_use_add(s->uses, addr, IOL_USE_PROCESS, true, "%s (pid %d) has %s %s", comm, pid, what,
		    how);
	if (s->uses->count > i)
		s->uses->list[i].pid = pid;
}

static void name_by_path(struct search *s, int pid, const char *path, const char *how)
{
	size_t i;

	for (i = 0; i < s->node_count; i++) {
		if (!strcmp(path, s->nodes[i].path))
			name_process(s, s->nodes[i].of, pid, path, how);
	}
}

/* Return: whether the kernel says which device a descriptor is. */
static bool name_by_info(struct search *s, int pid, const char *fd)
{
	_cleanup_free_ char *text = iol_host_text(s->host, "proc/%d/fdinfo/%s", pid, fd);
	char *line = text ? strstr(text, TELLS) : NULL;
	struct iol_pci_addr addr;
	size_t i;

	if (!line)
		return false;
	line[strcspn(line, "\n")] = '\0';
	for (i = 0; iol_pci_of_path(line, &addr, NULL) && i < s->function_count; i++) {
		if (iol_pci_addr_equal(&s->functions[i].pci->addr, &addr))
			name_process(s, i, pid, "it", "open");
	}
	return true;
}

static void suspect(struct search *s, int pid, bool grouped)
{
	struct suspect *suspect;
	size_t i;

	for (i = 0; i < s->suspect_count; i++) {
		if (s->suspects[i].pid == pid)
			return;
	}
	suspect = iol_add(s, suspect);
	if (!suspect)
		return;
	suspect->pid = pid;
	suspect->grouped = grouped;
	read_comm(s->host, pid, suspect->comm);
}

static void look_at_descriptors(struct search *s, int pid)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(s->host, "proc/%d/fd", pid);
	bool grouped = false, nameless = false;
	char target[HOST_PATH_MAX];
	const char *fd;

	while (dir && (fd = iol_host_next(dir))) {
		if (iol_host_target(s->host, target, sizeof(target), "proc/%d/fd/%s", pid, fd) < 0)
			continue;
		if (!strncmp(target, "/dev/vfio/", 10)) {
			grouped |= strcmp(target, "/dev/vfio/vfio") != 0;
			name_by_path(s, pid, target, "open");
		} else if (!strcmp(target, ANONYMOUS)) {
			nameless |= !name_by_info(s, pid, fd);
		}
	}
	if (nameless)
		suspect(s, pid, grouped);
}

/* A mapped BAR keeps a device open, too, when its descriptor is long closed. */
static void look_at_mappings(struct search *s, int pid)
{
	_cleanup_free_ char *text = iol_host_text(s->host, "proc/%d/maps", pid);
	char *rest = text, *line, *path;

	while (rest && (line = strsep(&rest, "\n"))) {
		path = strstr(line, ANONYMOUS);
		if (path)
			suspect(s, pid, false);
		path = path ? NULL : strstr(line, "/dev/vfio/devices/");
		if (path)
			name_by_path(s, pid, path, "mapped");
	}
}

static void each_process(struct search *s, void (*look)(struct search *s, int pid))
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(s->host, "proc");
	const char *name;

	while (dir && (name = iol_host_next(dir))) {
		if (name[strspn(name, "0123456789")] == '\0' && strlen(name) < 10)
			look(s, (int)strtol(name, NULL, 10));
	}
}

/* "vfio-msix[0](0000:01:10.0)" is an interrupt that goes to whoever has that function open. */
static bool has_interrupts(const char *interrupts, const struct iol_pci_addr *addr)
{
	char name[IOL_PCI_ADDR_MAX], word[IOL_PCI_ADDR_MAX + 2];
	const char *at;

	snprintf(word, sizeof(word), "(%s)", iol_pci_addr_format(addr, name));
	for (at = strstr(interrupts, "vfio-"); at; at = strstr(at, "vfio-")) {
		at += strcspn(at, "( \n");
		if (!strncmp(at, word, strlen(word)))
			return true;
	}
	return false;
}

int iol_vfio_claim(const struct iol_host *host, const struct iol_pci_info *pci)
{
	static const char *const names[] = { "", "noiommu-" };
	char path[HOST_PATH_MAX];
	int fd = -1;
	size_t i;

	errno = ENOENT;
	for (i = 0; pci->iommu_group >= 0 && fd < 0 && errno == ENOENT && i < 2; i++) {
		snprintf(path, sizeof(path), "dev/vfio/%s%d", names[i], pci->iommu_group);
		fd = openat(host->root_fd, path, O_RDWR | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

/* 0 when nobody has it, -EBUSY when somebody does; otherwise it is not known. */
static int is_free(const struct iol_host *host, const struct iol_pci_info *pci)
{
	_cleanup_close_ int fd = iol_vfio_claim(host, pci);

	return fd < 0 ? fd : 0;
}

static int suspect_order(const void *a, const void *b)
{
	return ((const struct suspect *)a)->pid - ((const struct suspect *)b)->pid;
}

/*
 * Those that have no group's node open, or if all have, any of them: but who asks is not told of itself, as its other
 * devices explain what it has, and in a container it may be the only one to be seen.
 */
static void tell_suspects(const struct search *s, const struct iol_pci_addr *addr)
{
	char list[128] = "", self[16] = "";
	size_t i, n = 0, count = 0;
	bool any = true;

	iol_host_link(s->host, self, sizeof(self), "proc/self");
	for (i = 0; i < s->suspect_count; i++)
		any &= s->suspects[i].grouped;
	for (i = 0; i < s->suspect_count; i++) {
		const struct suspect *suspect = &s->suspects[i];

		if (suspect->grouped && (!any || suspect->pid == strtol(self, NULL, 10)))
			continue;
		if (n < sizeof(list))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s (pid %d)",
					      count ? ", " : "", suspect->comm, suspect->pid);
		count++;
	}
	if (count)
		iol_use_add(s->uses, addr, IOL_USE_PROCESS, true, "it is in use, %s %s",
			    count > 1 ? "by one of:" : "it seems by", list);
	else
		iol_use_add(s->uses, addr, IOL_USE_PROCESS, true,
			    "it is in use by somebody whom /proc does not show");
}

static void find_nameless(struct search *s)
{
	_cleanup_free_ char *interrupts = iol_host_text(s->host, "proc/interrupts");
	bool mappings = false;
	size_t i;

	for (i = 0; i < s->function_count; i++) {
		const struct iol_pci_info *pci = s->functions[i].pci;

		if (s->functions[i].named ||
		    (!s->functions[i].busy &&
		     !(interrupts && has_interrupts(interrupts, &pci->addr))))
			continue;
		if (!mappings) {
			each_process(s, look_at_mappings);
			if (s->suspect_count)
				qsort(s->suspects, s->suspect_count, sizeof(*s->suspects),
				      suspect_order);
		}
		mappings = true;
		if (!s->functions[i].named)
			tell_suspects(s, &pci->addr);
	}
}

void iol_uses_processes(const struct iol_host *host, const struct iol_pci_info *list, int count,
			const struct iol_pci_addr *only, struct use_list *uses)
{
	struct search s = { .host = host,
			    .uses = uses,
			    .cdevs = iol_host_exists(host, "sys/class/vfio-dev") };
	size_t i;
	int k;

	/* Looking at every descriptor of every process is the costliest question of all: not of what is free. */
	for (k = 0; k < count; k++) {
		const struct iol_pci_info *pci = &list[k];
		int rc = -ENOENT;

		if (!iol_is_vfio(pci->driver) ||
		    (only && !iol_pci_addr_equal(&pci->addr, only) &&
		     !(pci->is_vf && iol_pci_addr_equal(&pci->pf, only))))
			continue;
		if (only && host->live)
			rc = is_free(host, pci);
		if (rc)
			add_function(&s, pci, rc == -EBUSY);
	}
	if (s.function_count) {
		each_process(&s, look_at_descriptors);
		for (i = 0; i < s.function_count && s.functions[i].named;)
			i++;
		if (i < s.function_count)
			find_nameless(&s);
	}
	uses->no_memory |= s.no_memory;
	free(s.functions);
	free(s.nodes);
	free(s.suspects);
}
