/* SPDX-License-Identifier: BSD-3-Clause */
#include <iolane/net.h>

#include <stddef.h>

const char *iol_net_drop_name(enum iol_net_drop drop)
{
	static const char *const names[] = {
#define D(name, text) [IOL_NET_DROP_##name] = (text),
		IOL_NET_DROPS(D)
#undef D
	};

	return (unsigned int)drop < IOL_NET_DROP_REASONS ? names[drop] : NULL;
}
