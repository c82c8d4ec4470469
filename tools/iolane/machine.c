/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#include "tools/common/prog.h"
#include "vfio/host.h"

#include <stdio.h>
#include <string.h>

/* Whether a word is among others that blanks separate. */
static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);
	const char *s = text;

	while ((s = strstr(s, word))) {
		if ((s == text || strchr(" \t\n", s[-1])) && strchr(" \t\n", s[len]))
			return true;
		s += len;
	}
	return false;
}

static char *text_or_empty(char *text)
{
	return text ? text : strdup("");
}

int machine_read(struct machine *m, struct iol_host **host)
{
	int n;

	*m = (struct machine){ .host = iol_take_ptr(*host) };
	m->cmdline = text_or_empty(iol_host_text(m->host, "proc/cmdline"));
	m->cpuinfo = text_or_empty(iol_host_text(m->host, "proc/cpuinfo"));
	if (!m->cmdline || !m->cpuinfo)
		return iol_fail(ENOMEM, "no memory for the host's files");
	if (iol_host_read(m->host, m->release, sizeof(m->release), "proc/sys/kernel/osrelease") < 0)
		m->release[0] = '\0';
	m->cpu = has_word(m->cpuinfo, "GenuineIntel")   ? CPU_INTEL
		 : has_word(m->cpuinfo, "AuthenticAMD") ? CPU_AMD
							: CPU_OTHER;
	m->is_guest = machine_flag(m, "hypervisor");
	n = devices_read(m->host, &m->devices);
	if (n < 0)
		return n;
	n = iol_iommu_list(m->host, &m->iommus);
	m->num_iommus = n > 0 ? (size_t)n : 0;
	return n < 0 ? n : 0;
}

void machine_free(struct machine *m)
{
	devices_free(&m->devices);
	free(iol_take_ptr(m->iommus));
	free(iol_take_ptr(m->cmdline));
	free(iol_take_ptr(m->cpuinfo));
	iol_host_destroy(&m->host);
}

bool machine_option(const struct machine *m, const char *word)
{
	return has_word(m->cmdline, word);
}

bool machine_flag(const struct machine *m, const char *flag)
{
	return has_word(m->cpuinfo, flag);
}

/* Whether a list of modules names the file "vfio-pci.ko", which may be compressed and lie in a folder. */
static enum iol_known listed(const struct machine *m, const char *list, const char *name)
{
	_cleanup_free_ char *text = iol_host_text(m->host, "lib/modules/%s/%s", m->release, list);
	char file[IOL_NAME_MAX + 8];
	const char *at;
	char *s;

	if (!text)
		return IOL_UNKNOWN;
	snprintf(file, sizeof(file), "%s.ko", name);
	/* Files have either, the kernel underscores. */
	for (s = text; *s; s++)
		*s = *s == '-' ? '_' : *s;
	for (at = strstr(text, file); at; at = strstr(at + 1, file)) {
		if (at == text || strchr("/ \n", at[-1]))
			return IOL_YES;
	}
	return IOL_NO;
}

enum machine_module machine_module(const struct machine *m, const char *name)
{
	enum iol_known there;

	/* A name with a slash would lead elsewhere. */
	if (strchr(m->release, '/'))
		return MODULE_UNKNOWN;
	if (iol_host_exists(m->host, "sys/module/%s", name) ||
	    listed(m, "modules.builtin", name) == IOL_YES)
		return MODULE_LOADED;
	there = listed(m, "modules.dep", name);
	return there == IOL_YES ? MODULE_THERE : there == IOL_NO ? MODULE_LACKS : MODULE_UNKNOWN;
}

enum iol_known machine_switch(const struct machine *m, const char *module, const char *parameter)
{
	char text[16];

	if (iol_host_read(m->host, text, sizeof(text), "sys/module/%s/parameters/%s", module,
			  parameter) < 0)
		return IOL_UNKNOWN;
	return text[0] == 'Y' || text[0] == '1' ? IOL_YES : IOL_NO;
}

/*
 * The first whose file is there is the one. "@" stands for the word; what is taken out begins where it does: "iommu=off"
 * is a part of "intel_iommu=off".
 */
static const struct loader {
	const char *file, *add, *remove;
} loaders[] = {
	{ "usr/sbin/grubby", "grubby --update-kernel=ALL --args=@ && reboot",
	  "grubby --update-kernel=ALL --remove-args=@ && reboot" },
	/* Proxmox, where systemd-boot starts it */
	{ "etc/kernel/proxmox-boot-uuids",
	  "sed -i 's/$/ @/' /etc/kernel/cmdline && proxmox-boot-tool refresh && reboot",
	  "sed -i 's/ *\\b@//' /etc/kernel/cmdline && proxmox-boot-tool refresh && reboot" },
	{ "usr/sbin/update-grub",
	  "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&@ /' /etc/default/grub && update-grub && reboot",
	  "sed -i '/^GRUB_CMDLINE_LINUX/s/\\b@ *//' /etc/default/grub && update-grub && reboot" },
	{ "etc/default/grub",
	  "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&@ /' /etc/default/grub && "
	  "grub-mkconfig -o /boot/grub/grub.cfg && reboot",
	  "sed -i '/^GRUB_CMDLINE_LINUX/s/\\b@ *//' /etc/default/grub && "
	  "grub-mkconfig -o /boot/grub/grub.cfg && reboot" },
	{ "etc/kernel/cmdline",
	  "sed -i 's/$/ @/' /etc/kernel/cmdline && kernel-install add $(uname -r) "
	  "/boot/vmlinuz-$(uname -r) && reboot",
	  "sed -i 's/ *\\b@//' /etc/kernel/cmdline && kernel-install add $(uname -r) "
	  "/boot/vmlinuz-$(uname -r) && reboot" },
};

const char *machine_boot_line(const struct machine *m, const char *word, bool remove, char *buf,
			      size_t len)
{
	const char *line, *at;
	size_t i;

	for (i = 0; i < sizeof(loaders) / sizeof(loaders[0]); i++) {
		if (!iol_host_exists(m->host, "%s", loaders[i].file))
			continue;
		line = remove ? loaders[i].remove : loaders[i].add;
		at = strchr(line, '@');
		snprintf(buf, len, "%.*s%s%s", (int)(at - line), line, word, at + 1);
		return buf;
	}
	snprintf(buf, len, "%s %s the kernel's command line in the boot loader, and reboot", word,
		 remove ? "has to leave" : "has to be on");
	return buf;
}
