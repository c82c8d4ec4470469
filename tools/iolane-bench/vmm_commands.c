/* SPDX-License-Identifier: BSD-3-Clause */
/* The same guest as each VMM's command line has it. */
#include "vmm.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QEMU "qemu-system-x86_64"

/* An option and its value, which is one word whatever is in it. */
static int add(FILE *line, const char *option, const char *value)
{
	_cleanup_free_ char *word = malloc(strlen(value) + 3);
	int rc;

	if (!word)
		return iol_fail(ENOMEM, "out of memory for a command line");
	rc = bench_quote("what goes into a command line", value, word, strlen(value) + 3);
	if (!rc)
		fprintf(line, " %s%s", option, word);
	return rc;
}

static int add_all(FILE *line, const char *option, const struct vmm_devices *devices)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < devices->n; i++)
		rc = add(line, option, devices->name[i]);
	return rc;
}

static int iolane_line(const struct vmm_options *o, FILE *line)
{
	char program[PATH_MAX + 32], word[PATH_MAX + 64];
	int rc;

	bench_find_ours("iolane-vmm", program, sizeof(program));
	rc = bench_quote("the program", program, word, sizeof(word));
	if (rc)
		return rc;
	fputs(word, line);
	rc = add(line, "--kernel=", o->kernel);
	if (!rc && o->initrd)
		rc = add(line, "--initrd=", o->initrd);
	if (!rc)
		rc = add(line, "--cmdline=", o->cmdline);
	fprintf(line, " --memory=%" PRIu64 "M --cpus=%u", o->memory, o->cpus);
	if (!rc)
		rc = add_all(line, "--vfio=", &o->vfio);
	if (!rc)
		rc = add_all(line, "--blk=", &o->blk);
	if (!rc)
		rc = add_all(line, "--net=", &o->net);
	return rc;
}

/* The rest of a vhost-user device: its socket, and the device on it. */
static int add_vhost_user(FILE *line, const char *kind, unsigned int i, const char *socket)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "socket,id=%s%u,path=%s", kind, i, socket);
	return add(line, "-chardev ", path);
}

static int qemu_devices(const struct vmm_options *o, FILE *line)
{
	int rc = 0;

	for (unsigned int i = 0; i < o->vfio.n; i++)
		fprintf(line, " -device vfio-pci,host=%s", o->vfio.name[i]);
	for (unsigned int i = 0; !rc && i < o->blk.n; i++) {
		rc = add_vhost_user(line, "blk", i, o->blk.name[i]);
		fprintf(line, " -device vhost-user-blk-pci,chardev=blk%u,num-queues=1", i);
	}
	for (unsigned int i = 0; !rc && i < o->net.n; i++) {
		rc = add_vhost_user(line, "net", i, o->net.name[i]);
		fprintf(line,
			" -netdev vhost-user,id=port%u,chardev=net%u"
			" -device virtio-net-pci,netdev=port%u,romfile=",
			i, i, i);
	}
	return rc;
}

/*
 * What of microvm's legacy devices a guest with kvmclock does without is off; PCI is there only if it must be. Option ROMs
 * stay: without them its firmware reads the kernel byte by byte.
 */
static int qemu_line(const struct vmm_options *o, bool microvm, FILE *line)
{
	bool pci = o->vfio.n || o->blk.n || o->net.n;
	int rc;

	fprintf(line, QEMU " -M ");
	if (microvm)
		fprintf(line, "microvm,pit=off,pic=off,rtc=off,isa-serial=on%s,",
			pci ? ",pcie=on" : "");
	else
		fprintf(line, "q35,");
	fprintf(line,
		"accel=kvm,memory-backend=memory -cpu host -smp %u -m %" PRIu64
		" -object memory-backend-memfd,id=memory,size=%" PRIu64 "M,share=on"
		" -nodefaults -no-user-config -display none -no-reboot -serial stdio",
		o->cpus, o->memory, o->memory);
	rc = add(line, "-kernel ", o->kernel);
	if (!rc && o->initrd)
		rc = add(line, "-initrd ", o->initrd);
	if (!rc)
		rc = add(line, "-append ", o->cmdline);
	return rc ? rc : qemu_devices(o, line);
}

static int make_line(const struct vmm_options *o, enum vmm_kind kind, char **cmd)
{
	size_t len;
	FILE *line = open_memstream(cmd, &len);
	int rc;

	if (!line)
		return iol_fail(ENOMEM, "out of memory for a command line");
	rc = kind == VMM_IOLANE ? iolane_line(o, line) : qemu_line(o, kind == VMM_MICROVM, line);
	if (fclose(line) && !rc)
		rc = iol_fail(ENOMEM, "out of memory for a command line");
	return rc;
}

int vmm_entrants(const struct vmm_options *o, struct bench_comparison *c)
{
	static const char *const names[VMM_KINDS] = { "iolane-vmm", "QEMU q35", "QEMU microvm" };
	int rc = 0;

	if (o->n_compare)
		return bench_name_entrants(o->compare, o->n_compare, c);
	for (unsigned int kind = 0; !rc && kind < VMM_KINDS; kind++) {
		struct bench_entrant *e = &c->entrant[c->n];

		if (kind != VMM_IOLANE && !o->against[kind])
			continue;
		snprintf(e->name, sizeof(e->name), "%s", names[kind]);
		rc = make_line(o, kind, &e->cmd);
		c->n++;
	}
	return rc;
}
