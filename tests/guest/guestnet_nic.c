/* SPDX-License-Identifier: BSD-3-Clause */
/* What ethtool would do, of which the guest's user land has nothing. */
#include <errno.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/guest/guestnet.h"

#define BLOCK_BITS 32U

/* Names of a kind that the interface has. */
struct names {
	uint32_t count;
	struct ethtool_gstrings *strings;
};

static int ask(const struct options *o, void *command, const char *what)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return keep_failure("making a socket: %s", strerror(errno));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", o->target);
	request.ifr_data = command;
	rc = ioctl(fd, SIOCETHTOOL, &request);
	close(fd);
	return rc < 0 ? keep_failure("%s of %s: %s", what, o->target, strerror(errno)) : rc;
}

static int get_names(const struct options *o, uint32_t kind, struct names *names)
{
	/* One number, in the array at the structure's end. */
	union {
		struct ethtool_sset_info info;
		uint8_t room[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)];
	} set = { .info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << kind } };

	if (ask(o, &set, "asking for the number of names") < 0)
		return -1;
	names->count = set.info.sset_mask ? set.info.data[0] : 0;
	names->strings = calloc(1, sizeof(*names->strings) + names->count * ETH_GSTRING_LEN);
	if (!names->strings)
		return keep_failure("no memory");
	names->strings->cmd = ETHTOOL_GSTRINGS;
	names->strings->string_set = kind;
	names->strings->len = names->count;
	return ask(o, names->strings, "asking for names");
}

static const char *name_at(const struct names *names, uint32_t index)
{
	return (const char *)names->strings->data + (size_t)index * ETH_GSTRING_LEN;
}

/* One word NAME=on or NAME=off, put into the request. */
static int want_feature(const struct names *names, const char *word, struct ethtool_sfeatures *set)
{
	const char *value = strchr(word, '=');
	size_t length = value ? (size_t)(value - word) : strlen(word);
	uint32_t i, bit;

	for (i = 0; value && i < names->count; i++) {
		if (strncmp(name_at(names, i), word, length) != 0 ||
		    (length < ETH_GSTRING_LEN && name_at(names, i)[length]))
			continue;
		bit = 1U << i % BLOCK_BITS;
		set->features[i / BLOCK_BITS].valid |= bit;
		if (strcmp(value, "=on") == 0)
			set->features[i / BLOCK_BITS].requested |= bit;
		return 0;
	}
	return keep_failure("%s: no such feature", word);
}

static int show_features(const struct options *o, const struct names *names,
			 const struct ethtool_sfeatures *wanted)
{
	uint32_t blocks = (names->count + BLOCK_BITS - 1) / BLOCK_BITS, i, bit;
	struct ethtool_gfeatures *get = calloc(1, sizeof(*get) + blocks * sizeof(get->features[0]));
	const struct ethtool_set_features_block *block;
	int rc;

	if (!get)
		return keep_failure("no memory");
	get->cmd = ETHTOOL_GFEATURES;
	get->size = blocks;
	rc = ask(o, get, "asking for the features");
	for (i = 0; rc >= 0 && i < names->count; i++) {
		bit = 1U << i % BLOCK_BITS;
		block = &wanted->features[i / BLOCK_BITS];
		if (!*name_at(names, i))
			continue;
		if ((block->valid & bit) &&
		    (block->requested & bit) != (get->features[i / BLOCK_BITS].active & bit))
			rc = keep_failure("%s can't be changed", name_at(names, i));
		printf("%.32s=%s\n", name_at(names, i),
		       get->features[i / BLOCK_BITS].active & bit ? "on" : "off");
	}
	free(get);
	return rc < 0 ? -1 : 0;
}

int set_offloads(const struct options *o)
{
	struct ethtool_sfeatures *set = NULL;
	struct names names = { 0 };
	uint32_t blocks;
	int rc, i;

	rc = get_names(o, ETH_SS_FEATURES, &names);
	if (rc < 0)
		goto out;
	blocks = (names.count + BLOCK_BITS - 1) / BLOCK_BITS;
	set = calloc(1, sizeof(*set) + blocks * sizeof(set->features[0]));
	if (!set) {
		rc = keep_failure("no memory");
		goto out;
	}
	set->cmd = ETHTOOL_SFEATURES;
	set->size = blocks;
	for (i = 0; rc >= 0 && i < o->num_words; i++)
		rc = want_feature(&names, o->words[i], set);
	if (rc >= 0 && o->num_words)
		rc = ask(o, set, "setting features");
	if (rc >= 0)
		rc = show_features(o, &names, set);
out:
	free(set);
	free(names.strings);
	return rc < 0 ? -1 : 0;
}

int set_channels(const struct options *o)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };

	if (ask(o, &channels, "asking for the channels") < 0)
		return -1;
	if (o->num_words) {
		channels.cmd = ETHTOOL_SCHANNELS;
		channels.combined_count = (uint32_t)strtoul(o->words[0], NULL, 0);
		if (ask(o, &channels, "setting the channels") < 0)
			return -1;
		channels.cmd = ETHTOOL_GCHANNELS;
		if (ask(o, &channels, "asking for the channels") < 0)
			return -1;
	}
	printf("channels=%" PRIu32 " most=%" PRIu32 "\n", channels.combined_count,
	       channels.max_combined);
	return 0;
}

int show_counters(const struct options *o)
{
	struct ethtool_stats *stats = NULL;
	struct names names = { 0 };
	uint32_t i;
	int rc;

	rc = get_names(o, ETH_SS_STATS, &names);
	if (rc < 0)
		goto out;
	stats = calloc(1, sizeof(*stats) + names.count * sizeof(stats->data[0]));
	if (!stats) {
		rc = keep_failure("no memory");
		goto out;
	}
	stats->cmd = ETHTOOL_GSTATS;
	stats->n_stats = names.count;
	rc = ask(o, stats, "asking for the counters");
	for (i = 0; rc >= 0 && i < names.count; i++)
		printf("%.32s=%" PRIu64 "\n", name_at(&names, i), (uint64_t)stats->data[i]);
out:
	free(stats);
	free(names.strings);
	return rc < 0 ? -1 : 0;
}
