/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end's socket: whether it is there, free, and what it offers. A back end serves one front end at a time, and some end
 * when theirs goes; so nobody connects here unless that is asked for. Our own back ends tell by their control sockets, and
 * the kernel tells of all sockets who listens and who is connected.
 */
#include "vm.h"

#include "base/error.h"
#include "listeners.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"

#include <iolane/vmm_frontend.h>

#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CONTROL_TIMEOUT_MS 5000
#define ASK_TIMEOUT_MS     5000

/* What is known of a back end. */
struct offer {
	bool known, connected, packed;
	unsigned int queues;
	char mac[18];
};

static const char *program_of(const struct vm_wish *w)
{
	return w->device.kind == IOL_VMM_BLK ? "iolane-blk" : "iolane-net";
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return !strcmp(a, b) ||
	       (!stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/* The control socket of one of ours, if there is one that has this socket. */
static void ask_control(const struct vm_wish *w, struct offer *offer)
{
	struct json_object *request, *result = NULL, *list;
	char path[256];
	size_t i;

	if (w->control)
		snprintf(path, sizeof(path), "%s", w->control);
	else
		ctl_default_path(program_of(w), path, sizeof(path));
	request = verb_request("list");
	if (ctl_call(program_of(w), path, request, CONTROL_TIMEOUT_MS, &result) < 0) {
		if (w->control)
			vm_note(NULL, iol_error());
		json_object_put(request);
		return;
	}
	json_object_put(request);
	list = w->device.kind == IOL_VMM_NET ? field(result, "ports") : result;
	for (i = 0; i < array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		if (!*field_string(o, "socket") || !same_file(field_string(o, "socket"), w->where))
			continue;
		offer->known = true;
		/* Ours all have them. */
		offer->packed = true;
		offer->connected = field_bool(o, "connected");
		offer->queues = (unsigned int)field_count(o, "queues");
		if (strlen(field_string(o, "mac")) == 17)
			strcpy(offer->mac, field_string(o, "mac"));
	}
	json_object_put(result);
}

/* As a front end that goes at once. */
static int ask_itself(const struct vm_wish *w, struct offer *offer)
{
	struct iol_frontend_spec spec = { .path = w->where,
					  .fd = -1,
					  .timeout_ms = ASK_TIMEOUT_MS,
					  .pairs = w->device.kind == IOL_VMM_NET };
	struct iol_frontend *fe = NULL;
	int rc = iol_frontend_new(&spec, &fe);

	if (!rc)
		rc = iol_frontend_negotiate(fe, 1ull << VIRTIO_F_RING_PACKED, 0);
	if (!rc) {
		offer->known = true;
		offer->packed = iol_frontend_features(fe) & 1ull << VIRTIO_F_RING_PACKED;
		offer->queues = iol_frontend_queues_max(fe) / (spec.pairs ? 2 : 1);
	}
	iol_frontend_destroy(&fe);
	return rc;
}

static int use_offer(struct vm_wish *w, const struct offer *offer, unsigned int cpus)
{
	struct iol_vmm_device *d = &w->device;
	const char *what = d->kind == IOL_VMM_NET ? "pairs of queues" : "queues";

	if (!offer->known && !d->queues)
		iol_log(IOL_LOG_WARNING,
			"how many %s %s has is not known, so the guest gets one: say queues=N, or "
			"its control=SOCKET, or let it be asked (--ask)",
			what, w->name);
	if (!offer->known)
		return 0;
	if (d->queues > offer->queues)
		return iol_fail(EINVAL, "%s has %u %s, not %u: say queues=%u", w->name,
				offer->queues, what, d->queues, offer->queues);
	if (!d->queues)
		d->queues = offer->queues < cpus ? offer->queues : cpus ? cpus : 1;
	if (!w->packed_said)
		d->packed = offer->packed;
	else if (d->packed && !offer->packed)
		return iol_fail(EINVAL, "%s has no packed rings: leave packed out", w->name);
	if (!*w->mac)
		strcpy(w->mac, offer->mac);
	return 0;
}

int vm_check_socket(struct vm_wish *w, unsigned int cpus, bool ask)
{
	struct offer offer = { 0 };
	struct listeners at;
	struct stat st;
	int rc = 0;

	/* Then it is the VMM that makes the socket. */
	if (w->device.listen)
		return 0;
	if (stat(w->where, &st))
		return iol_fail(ENOENT,
				"there is no socket %s: start its back end first (iolane %s)",
				w->name, w->device.kind == IOL_VMM_BLK ? "blk" : "net");
	if (!S_ISSOCK(st.st_mode))
		return iol_fail(ENOTSOCK, "%s is no socket", w->name);
	listeners_at(w->where, &at);
	ask_control(w, &offer);
	/* The kernel tells of those that it finds; that there is nobody a call has to show. */
	if (at.listens != IOL_YES && !offer.known && !listeners_call(w->where))
		return iol_fail(ECONNREFUSED,
				"nobody listens on %s: its back end has ended; start it again",
				w->name);
	offer.connected |= at.connected;
	if (offer.connected)
		return iol_fail(EBUSY,
				"%s has a guest already: a back end serves one at a time, and "
				"another would hang",
				w->name);
	if (ask && !offer.known)
		rc = ask_itself(w, &offer);
	return rc < 0 ? rc : use_offer(w, &offer, cpus);
}
