/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes that are loaded as a device's state, in pieces, with or without a good header before them; both are what the first byte says. The
 * device is one that takes all bytes.
 */
#include "vmm-glue/device_state.h"
#include "vmm-glue/frontend.h"

#include <fcntl.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int take_all(struct iol_device_state *st)
{
	st->fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return st->fd < 0 ? -1 : 0;
}

static int loaded(struct iol_device_state *st)
{
	/* Whole, and all of it. */
	if (!st->begun || !st->complete || st->failed || st->block || st->have)
		abort();
	return 0;
}

const struct state_kind state_none = { .name = "none" };
const struct state_kind state_vfio = { .name = "vfio" };
const struct state_kind state_backend = {
	.name = "fuzzed", .number = 2, .load = take_all, .loaded = loaded
};

uint64_t iol_frontend_protocol_features(const struct iol_frontend *fe)
{
	return UINT64_MAX;
}

static const uint8_t good[STATE_HEADER] = { 'I', 'O', 'L', 'S', STATE_VERSION, 0, 2, 0, 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct iol_frontend
		frontend; /* how long it is waited for is all that is looked at */
	struct iol_device_state_spec spec = { .frontend = &frontend, .id = 5 };
	struct iol_device_state *st = NULL;
	size_t piece, n;
	int rc = 0;

	if (!len || iol_device_load(&spec, &st) < 0)
		return 0;
	piece = data[0] / 2u + 1;
	if (data[0] & 1)
		rc = iol_device_state_write(st, good, sizeof(good));
	if (rc < 0)
		abort();
	for (data++, len--; len && !rc; data += n, len -= n) {
		n = len < piece ? len : piece;
		rc = iol_device_state_write(st, data, n);
	}
	if (!iol_device_state_end(&st, true) && rc < 0)
		abort();
	return 0;
}
