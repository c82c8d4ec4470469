/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane export": the file that declares a host as it is. */
#include "base/error.h"
#include "device.h"
#include "tools/common/prog.h"
#include "vf.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

/* Text on its way: of one VF, fields with a line each; those of neighbours that are the same become one range. */
struct text {
	char *data;
	size_t len;
	FILE *stream;
};

static int text_open(struct text *t)
{
	*t = (struct text){ 0 };
	t->stream = open_memstream(&t->data, &t->len);
	return t->stream ? 0 : iol_fail(ENOMEM, "no memory for the text of what this host is like");
}

static void text_close(struct text *t)
{
	if (t->stream)
		fclose(t->stream);
	t->stream = NULL;
}

/* A word that YAML might take for something else is quoted. */
static void put_text(FILE *out, const char *key, const char *value)
{
	if (*value)
		fprintf(out, "        %s: \"%s\"\n", key, value);
}

static void put_owner(FILE *out, int group)
{
	const struct passwd *user;
	const struct group *of;
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/dev/vfio/%d", group);
	if (stat(path, &st) < 0 || (!st.st_uid && !st.st_gid))
		return;
	user = getpwuid(st.st_uid);
	of = getgrgid(st.st_gid);
	if (!user || !of)
		return;
	if (st.st_mode & S_IWGRP)
		fprintf(out, "        owner: { user: \"%s\", group: \"%s\" }\n", user->pw_name,
			of->gr_name);
	else
		fprintf(out, "        owner: { user: \"%s\" }\n", user->pw_name);
}

static void put_function(FILE *out, const struct iol_host *host, const struct devices *d,
			 const struct iol_pf *pf, unsigned int index)
{
	const struct iol_pci_info *info;
	struct iol_pci_addr addr;

	if (!pf->is_pci || iol_vf_addr(host, pf, index, &addr))
		return;
	info = devices_find(d, &addr);
	if (!info)
		return;
	put_text(out, "driver", info->driver[0] ? info->driver : "none");
	if (strstr(info->driver, "vfio"))
		put_owner(out, info->iommu_group);
}

static void put_net(FILE *out, const struct iol_vf_net *net)
{
	char value[IOL_VF_VALUE_MAX];
	int s;

	for (s = 0; s < IOL_VF_SETTINGS; s++) {
		if (!(net->has & (1u << s)))
			continue;
		/* The file has a VLAN's words each in a field of its own. */
		if (s == IOL_VF_VLAN) {
			fprintf(out, "        vlan: %u\n", net->vlan);
			if (net->qos)
				fprintf(out, "        qos: %u\n", net->qos);
			if ((net->vlan || net->qos) && net->vlan_proto == 0x88a8)
				fprintf(out, "        vlan_proto: \"802.1ad\"\n");
			continue;
		}
		put_text(out, iol_vf_setting_name((enum iol_vf_setting)s),
			 iol_vf_setting_format((enum iol_vf_setting)s, net, value));
	}
}

static int vf_text(const struct iol_host *host, const struct devices *d, const struct iol_pf *pf,
		   const struct vf_facts *f, unsigned int index, struct text *t)
{
	if (text_open(t))
		return -ENOMEM;
	put_function(t->stream, host, d, pf, index);
	put_text(t->stream, "label", f->labels[index]);
	if ((int)index < f->num_nets)
		put_net(t->stream, &f->nets[index]);
	if ((int)index < f->num_nvmes && f->nvmes[index].online)
		fprintf(t->stream, "        queues: %u\n        interrupts: %u\n",
			f->nvmes[index].queues, f->nvmes[index].interrupts);
	text_close(t);
	return t->data ? 0 : iol_fail(ENOMEM, "no memory for the text of what this host is like");
}

static void put_range(FILE *out, unsigned int first, unsigned int last, const struct text *t)
{
	if (!t->len)
		return;
	if (first == last)
		fprintf(out, "      - index: %u\n%s", first, t->data);
	else
		fprintf(out, "      - index: %u-%u\n%s", first, last, t->data);
}

static int put_vfs(FILE *out, const struct iol_host *host, const struct devices *d,
		   const struct iol_pf *pf)
{
	_cleanup_facts_ struct vf_facts f = { 0 };
	struct text now = { 0 }, next;
	unsigned int first = 0, i;
	int rc = vf_facts_read(host, pf, &f);

	if (!rc)
		fprintf(out, "    vf:%s\n", pf->enabled ? "" : " []");
	for (i = 0; !rc && i < pf->enabled; i++) {
		rc = vf_text(host, d, pf, &f, i, &next);
		if (rc)
			break;
		if (now.data && strcmp(now.data, next.data) != 0) {
			put_range(out, first, i - 1, &now);
			first = i;
		}
		free(now.data);
		now = next;
	}
	if (!rc && pf->enabled)
		put_range(out, first, pf->enabled - 1, &now);
	free(now.data);
	return rc;
}

static int put_pf(FILE *out, const struct iol_host *host, const struct devices *d,
		  const struct iol_pf *pf)
{
	char mode[IOL_NAME_MAX];
	int rc = iol_pf_eswitch(host, pf, mode);

	if (rc)
		return rc;
	fprintf(out, "  - %s: \"%s\"\n    vfs: %u\n", pf->is_pci ? "address" : "name", pf->name,
		pf->enabled);
	if (*mode)
		fprintf(out, "    eswitch: %s\n", mode);
	return pf->enabled ? put_vfs(out, host, d, pf) : 0;
}

static int run_export(const struct verb_args *a)
{
	_cleanup_host_ struct iol_host *host = NULL;
	_cleanup_devices_ struct devices d = { 0 };
	_cleanup_free_ struct iol_pf *pfs = NULL;
	struct text all = { 0 };
	int status = host_open(a, &host), n, i, rc = 0;

	if (status)
		return status;
	if (devices_read(host, &d) < 0 || text_open(&all))
		return prog_fail();
	n = iol_pf_list(host, &pfs);
	fprintf(all.stream, "# What this host was like; iolane apply makes it so again.\npfs:%s\n",
		n ? "" : " []");
	for (i = 0; !rc && i < n; i++)
		rc = put_pf(all.stream, host, &d, &pfs[i]);
	text_close(&all);
	if (n >= 0 && !rc && !all.data)
		rc = iol_fail(ENOMEM, "no memory for the file");
	/* Half of a file is none. */
	status = n < 0 || rc ? prog_fail() : prog_print(all.data);
	free(all.data);
	return status;
}

static const struct opt opts[] = { { "root", "DIR", VERB_ROOT },
				   { "help", NULL, VERB_HELP, 'h' },
				   { 0 } };

const struct verb host_export = {
	.name = "export",
	.help = "Usage: iolane export\n"
		"Print the file that declares this host's virtual functions as they are, for\n"
		"iolane apply.\n"
		"\n"
		"  --root=DIR      look at a copy of a machine's files: DIR/sys, DIR/proc, ...\n"
		"  --help          this text\n",
	.opts = opts,
	.run = run_export,
};
