/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * "iolane apply --boot": nobody is there to ask, or to mend a host that has cut itself off. So PFs are waited for, each is
 * a change of its own that the others do not depend on, and one that somebody uses already is left alone.
 */
#include "boot.h"

#include "base/clock.h"
#include "base/error.h"
#include "device.h"
#include "interruption.h"
#include "state_file.h"
#include "text.h"
#include "tools/common/prog.h"
#include "vfio/bind.h"
#include "vfio/host.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define PAUSE_MS 100

/* Base class and interface (PCI Code and ID Assignment) */
#define CLASS_NETWORK 0x02
#define CLASS_NVME    0x010802

/**
 * struct boot - The PFs on their way.
 * @devices: what the one that is looked at may interrupt.
 * @held: the step that would, if somebody has it; and what that is.
 */
struct boot {
	const struct iol_host *host;
	struct state_file *file;
	struct devices devices;
	struct iol_step held;
	struct iol_use by;
};

static void boot_clear(struct boot *b)
{
	state_file_close(&b->file);
	devices_free(&b->devices);
}

/* ---- whether it is there ---- */

/* Its driver makes the VFs, which are set by its interface or its controller: these come after the function itself. */
static bool is_ready(const struct iol_host *host, const struct iol_pf *pf)
{
	struct iol_pci_info info;
	char state[16];

	if (!pf->is_pci)
		return pf->netdev[0] != '\0';
	if (!pf->driver[0] || iol_pci_info(host, &pf->addr, &info))
		return false;
	if (iol_is_vfio(pf->driver))
		return true;
	if (info.class >> 16 == CLASS_NETWORK)
		return pf->netdev[0] != '\0';
	return info.class != CLASS_NVME ||
	       (pf->nvme[0] &&
		iol_host_read(host, state, sizeof(state), "sys/class/nvme/%s/state", pf->nvme) >
			0 &&
		!strcmp(state, "live"));
}

/* ---- one PF ---- */

/* Somebody who would notice; that it has an address is enough here. */
static int look(void *opaque, enum iol_step_event event, const struct iol_step *s)
{
	struct boot *b = opaque;
	struct interruption i;

	if (b->by.what[0])
		return 0;
	interruption_of(b->host, &b->devices, s, &i);
	if (!i.use)
		return 0;
	b->held = *s;
	b->by = *i.use;
	return 0;
}

/* Return: how many steps it takes; -EBUSY: somebody would be interrupted. */
static int plan(struct boot *b, const struct iol_state *state)
{
	struct iol_change_opts opts = { .dry_run = true, .step = look, .opaque = b };
	int rc;

	b->by.what[0] = '\0';
	devices_free(&b->devices);
	rc = devices_read(b->host, &b->devices);
	if (!rc)
		rc = devices_read_uses(b->host, &b->devices);
	if (!rc)
		rc = iol_apply(b->host, state, &opts);
	if (rc <= 0 || !b->by.what[0])
		return rc;
	return iol_fail(EBUSY, "left alone, as %s, which %s %s -> %s would interrupt", b->by.what,
			b->held.kind, *b->held.was ? b->held.was : "none",
			*b->held.value ? b->held.value : "none");
}

static bool apply(struct boot *b, struct iol_want_pf *want)
{
	const struct iol_change_opts opts = { 0 };
	const char *name = want->pf.netdev[0] ? want->pf.netdev : want->pf.nvme;
	struct iol_state state = { want, 1 };
	char named[2 * IOL_NAME_MAX + 4];
	int rc = state_file_check(b->file);

	if (!rc)
		rc = plan(b, &state);
	if (rc > 0)
		rc = iol_apply(b->host, &state, &opts);
	text_named(want->pf.name, name, named, sizeof(named));
	if (rc < 0) {
		iol_fail_more(rc, "%s", named);
		prog_fail();
		return false;
	}
	if (rc)
		printf("%s: done in %d step%s\n", named, rc, rc == 1 ? "" : "s");
	else
		printf("%s: all is so already\n", named);
	return prog_flush() == PROG_OK;
}

/* ---- all of them ---- */

/* Return: whether it was its turn; *@ok: whether it is now as it shall be. */
static bool try(struct boot *b, unsigned int i, bool late, unsigned int wait_ms, bool *ok)
{
	struct iol_want_pf *want = &state_file_state(b->file)->pf[i];
	int rc = state_file_find(b->file, b->host, i);

	if (rc || (!late && !is_ready(b->host, &want->pf)))
		want->pf = (struct iol_pf){ 0 };
	if (!late && !want->pf.name[0])
		return false;
	if (rc) {
		iol_fail_more(rc, "waited %u s in vain", (wait_ms + 999) / 1000);
		prog_fail();
		*ok = false;
	} else {
		*ok = apply(b, want);
	}
	return true;
}

static int apply_all(struct boot *b, unsigned int wait_ms)
{
	unsigned int num = state_file_state(b->file)->num_pf, left = num, i;
	_cleanup_free_ bool *done = calloc(num + 1, sizeof(*done));
	uint64_t end = iol_now() + wait_ms * IOL_NS_PER_MS;
	bool all_ok = true;

	if (!done) {
		iol_fail(ENOMEM, "no memory for %u PFs", num);
		return prog_fail();
	}
	while (left) {
		bool late = iol_now() >= end;

		/* An interface may have another's name until udev has given it its own. */
		iol_settle(b->host);
		for (i = 0; i < num; i++) {
			bool ok = true;

			if (done[i] || !try(b, i, late, wait_ms, &ok))
				continue;
			done[i] = true;
			all_ok &= ok;
			left--;
		}
		if (left)
			poll(NULL, 0, PAUSE_MS);
	}
	return all_ok ? PROG_OK : PROG_FAILED;
}

/* Of this start of the host, by one who was killed; nothing can be built upon it. */
static int take_back(const struct iol_host *host)
{
	const struct iol_change_opts opts = { .unfinished = true };
	int undone = iol_apply_undo(host, &opts);

	if (undone == -ENOENT)
		return PROG_OK;
	if (undone < 0)
		return prog_fail();
	printf("a change that was left in the middle is taken back in %d step%s\n", undone,
	       undone == 1 ? "" : "s");
	return prog_flush();
}

int boot_apply(const struct verb_args *a, const char *path, unsigned int wait_ms)
{
	_cleanup_host_ struct iol_host *host = NULL;
	_cleanup_(boot_clear) struct boot b = { 0 };
	int status = host_open(a, &host);

	if (status)
		return status;
	b.host = host;
	if (state_file_open(path, &b.file) < 0)
		return prog_fail();
	status = take_back(host);
	return status ? status : apply_all(&b, wait_ms);
}
