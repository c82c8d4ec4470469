/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device's configuration space. The first two bytes say which capabilities are looked for, whether the space is of
 * full length, and whether what follows is its begin or its extended part. What is found lies where capabilities may lie, is of that kind, and is within the bytes that there are.
 */
#include "vfio/config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void demand(bool good)
{
	if (!good)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at, given, begin, len;
	uint8_t *config, cap;
	uint16_t ext_cap;
	int type;

	if (size < 2)
		return 0;
	cap = data[0];
	ext_cap = (uint16_t)(data[1] & 0x3f);
	given = size - 2;
	begin = data[1] & 0x80 ? CONFIG_SIZE : 0;
	len = data[1] & 0x40 && begin + given < CONFIG_EXT_SIZE ? CONFIG_EXT_SIZE : begin + given;
	/* Of its very size, so that a byte too far is seen. */
	config = calloc(1, len ? len : 1);
	demand(config);
	memcpy(config + begin, data + 2, given);

	at = iol_config_cap(config, len, cap);
	demand(!at || (at >= CONFIG_HEADER && at % 4 == 0 && at + 4 <= len && at < CONFIG_SIZE &&
		       config[at] == cap));
	at = iol_config_ext_cap(config, len, ext_cap);
	demand(!at || (at >= CONFIG_SIZE && at % 4 == 0 && at + 8 <= len &&
		       at + 8 <= CONFIG_EXT_SIZE && iol_config_u16(config, len, at) == ext_cap));
	type = iol_config_pcie_type(config, len);
	demand(type >= -1 && type <= 15);
	for (at = len; at < len + 8; at++)
		demand(iol_config_u32(config, len, at) == UINT32_MAX);
	/* What straddles the end is all ones beyond it. */
	if (len)
		demand(iol_config_u32(config, len, len - 1) >> 8 == 0xffffff);
	free(config);
	return 0;
}
