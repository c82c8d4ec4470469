/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane vf create", "iolane vf set" and "iolane vf destroy": small states, brought about as large ones are. */
#include "base/error.h"
#include "change.h"
#include "tools/common/prog.h"
#include "vf.h"

#include <iolane/sriov.h>

#include <errno.h>
#include <string.h>

static int apply(struct change *c, struct iol_want_pf *want)
{
	struct iol_state state = { want, 1 };
	int status = change_look(c);

	return status ? status : change_report_steps(c, iol_apply(c->host, &state, &c->opts));
}

/* "iolane vf create PF COUNT", or without COUNT for none. */
static int change_count(const struct verb_args *a, const char *usage, unsigned int words)
{
	_cleanup_change_ struct change c = { 0 };
	struct iol_want_pf want = { 0 };
	unsigned int count, vfs = 0;
	const char *const *word = change_words(&count);
	int status;

	if (count != words) {
		iol_fail(EINVAL, "%s", usage);
		return prog_usage();
	}
	if (words == 2 && opt_uint("COUNT", word[1], 1, UINT16_MAX, &vfs) < 0)
		return prog_usage();
	status = change_open(a, &c);
	if (status)
		return status;
	if (iol_pf_find(c.host, word[0], &want.pf) < 0)
		return prog_fail();
	want.vfs = (int)vfs;
	return apply(&c, &want);
}

static int run_create(const struct verb_args *a)
{
	return change_count(a, "iolane vf create needs a PF and how many VFs it shall have", 2);
}

static int run_destroy(const struct verb_args *a)
{
	return change_count(a, "iolane vf destroy needs a PF", 1);
}

/* What is said of a VLAN comes in several words, which are one setting. */
struct vlan_words {
	const char *vlan, *qos, *proto;
};

static int take_setting(const char *word, struct iol_want_vf *vf, struct vlan_words *vlan)
{
	const char *value = strchr(word, '=');
	char key[IOL_NAME_MAX];
	int which;

	if (!value || value == word || (size_t)(value - word) >= sizeof(key))
		return iol_fail(EINVAL, "\"%s\" is no setting: expected NAME=VALUE", word);
	memcpy(key, word, (size_t)(value - word));
	key[value - word] = '\0';
	value++;
	if (!strcmp(key, "qos"))
		vlan->qos = value;
	else if (!strcmp(key, "vlan_proto"))
		vlan->proto = value;
	else if (!strcmp(key, "vlan"))
		vlan->vlan = value;
	else if (!strcmp(key, "driver") || !strcmp(key, "label")) {
		if (!*value || strlen(value) >= IOL_NAME_MAX || strchr(value, '/'))
			return iol_fail(EINVAL, "\"%s\" is no %s", value, key);
		strcpy(key[0] == 'd' ? vf->driver : vf->label, value);
	} else if (!strcmp(key, "queues") || !strcmp(key, "interrupts")) {
		unsigned int n;

		if (opt_uint(key, value, 0, UINT16_MAX, &n) < 0)
			return -EINVAL;
		*(key[0] == 'q' ? &vf->queues : &vf->interrupts) = (int)n;
	} else {
		which = iol_vf_setting_find(key);
		if (which < 0)
			return which;
		return iol_vf_setting_parse((enum iol_vf_setting)which, value, &vf->net);
	}
	return 0;
}

static int run_set(const struct verb_args *a)
{
	struct iol_want_vf vf = { .queues = -1, .interrupts = -1 };
	_cleanup_change_ struct change c = { 0 };
	struct iol_want_pf want = { .vfs = -1, .vf = &vf, .num_vf = 1 };
	struct vlan_words vlan = { 0 };
	unsigned int count, i;
	const char *const *word = change_words(&count);
	char pf[IOL_NAME_MAX];
	int status;

	if (count < 2) {
		iol_fail(EINVAL, "iolane vf set needs a VF, like eth3/vf2, and settings, like "
				 "vlan=100");
		return prog_usage();
	}
	if (iol_vf_name_parse(word[0], pf, &vf.first) < 0)
		return prog_usage();
	vf.last = vf.first;
	for (i = 1; i < count; i++) {
		if (take_setting(word[i], &vf, &vlan) < 0)
			return prog_usage();
	}
	if (iol_vf_vlan_parse(vlan.vlan, vlan.qos, vlan.proto, &vf.net) < 0)
		return prog_usage();
	status = change_open(a, &c);
	if (status)
		return status;
	if (iol_pf_find(c.host, pf, &want.pf) < 0)
		return prog_fail();
	return apply(&c, &want);
}

static const struct opt opts[] = { CHANGE_OPTS, HOST_OPTS, { 0 } };

const struct verb vf_create = {
	.name = "create",
	.line = "make VFs",
	.help = "Usage: iolane vf create PF COUNT [OPTION]...\n"
		"Have a PF make COUNT VFs. It has them from 0 to another count at once only, so\n"
		"those there are go first; that is refused while one is in use. iolane undo\n"
		"brings them back as they were.\n"
		"\n" CHANGE_OPTS_HELP HOST_OPTS_HELP,
	.opts = opts,
	.many = true,
	.option = change_option,
	.run = run_create,
};

const struct verb vf_destroy = {
	.name = "destroy",
	.line = "remove all VFs of a PF",
	.help = "Usage: iolane vf destroy PF [OPTION]...\n"
		"Remove all VFs of a PF. It is refused while one is in use.\n"
		"\n" CHANGE_OPTS_HELP HOST_OPTS_HELP,
	.opts = opts,
	.many = true,
	.option = change_option,
	.run = run_destroy,
};

const struct verb vf_set = {
	.name = "set",
	.line = "change settings of a VF",
	.help = "Usage: iolane vf set PF/vfN NAME=VALUE... [OPTION]...\n"
		"Change what a VF is: all that is said, or on failure nothing.\n"
		"\n"
		"  mac=02:00:00:00:00:03   its address; zeros leave it to the VF\n"
		"  vlan=100 [qos=3] [vlan_proto=802.1ad]   a VLAN; 0 for none\n"
		"  spoofchk=on|off         drop what it sends with another address than its own\n"
		"  trust=on|off            let it change its address, see all frames\n"
		"  link=auto|enable|disable   its link follows the PF's, or is always up, down\n"
		"  rate=1000 or 100-1000   Mbit/s at most, or at least and at most; 0 for none\n"
		"  rss_query=on|off        let it ask for the PF's RSS key\n"
		"  queues=N interrupts=N   resources of an NVMe VF, which is brought online\n"
		"  driver=NAME             its driver; none for none\n"
		"  label=NAME              a name to find it by\n"
		"\n" CHANGE_OPTS_HELP HOST_OPTS_HELP,
	.opts = opts,
	.many = true,
	.option = change_option,
	.run = run_set,
};
