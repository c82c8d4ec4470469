/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions of a host as people and programs are shown them. */
#ifndef TOOLS_IOLANE_DEVICE_H
#define TOOLS_IOLANE_DEVICE_H

#include "verb.h"

#include <iolane/vfio.h>

#include "base/own.h"

#define _cleanup_host_ _cleanup_(iol_host_destroy)

/** struct class_word - A kind of device that lists are filtered by. */
struct class_word {
	const char *word;
	const char *what;
};

/** class_of() - The kind of a function. Never NULL. */
const struct class_word *class_of(const struct iol_pci_info *info);

/** class_find() - The kind of this name, or NULL with the sentence set. */
const struct class_word *class_find(const char *word);

/** device_is_passable() - Whether a person would pass it through: no bridge, and no organ of the board. */
bool device_is_passable(const struct iol_pci_info *info);

/** struct devices - All functions of a host, and what they are in use for. */
struct devices {
	struct iol_pci_info *infos;
	struct iol_use *uses;
	size_t num, num_uses;
};

/** devices_read() - All functions of a host. 0, or a negative errno with the sentence set. */
int devices_read(const struct iol_host *host, struct devices *d);

/** devices_read_uses() - And what those are in use for. 0, or a negative errno with the sentence set. */
int devices_read_uses(const struct iol_host *host, struct devices *d);

void devices_free(struct devices *d);

#define _cleanup_devices_ _cleanup_(devices_free)

/** devices_find() - The function at an address, or NULL. */
const struct iol_pci_info *devices_find(const struct devices *d, const struct iol_pci_addr *addr);

#define DEVICE_NAME_MAX (IOL_NAME_MAX + 16)

/**
 * device_name() - What people call it: its network interface, its NVMe controller, "eth3/vf2"; empty for none.
 * Return: @buf.
 */
const char *device_name(const struct devices *d, const struct iol_pci_info *info,
			char buf[DEVICE_NAME_MAX]);

/** devices_next_use() - The next use of a function after @use, or the worst after NULL; NULL at the end. */
const struct iol_use *devices_next_use(const struct devices *d, const struct iol_pci_info *info,
				       const struct iol_use *use);

/**
 * device_json() - What "iolane list" says of a function. Return: for the caller to put.
 * device_json_whole() - With what iol_pci_details() says.
 */
struct json_object *device_json(const struct devices *d, const struct iol_pci_info *info);
struct json_object *device_json_whole(const struct iol_host *host, const struct devices *d,
				      const struct iol_pci_info *info);

/** device_label() - Device and vendor of what device_json() made, by name where that is known. Return: @buf. */
const char *device_label(struct json_object *device, char *buf, size_t len);

/** use_word() - A kind of use in a short word, for a column. */
const char *use_word(enum iol_use_kind kind);

/** use_kind() - The same for a program: "route". */
const char *use_kind(enum iol_use_kind kind);

/**
 * host_open() - The host that a verb was asked to look at.
 * Return: 0; or the exit status, after saying why.
 */
int host_open(const struct verb_args *a, struct iol_host **host);

/* Values of JSON objects: text that may be missing, numbers that may be none (negative). */
void add_text(struct json_object *o, const char *key, const char *text);
void add_number(struct json_object *o, const char *key, int64_t number);
void add_bool(struct json_object *o, const char *key, bool value);
void add_hex(struct json_object *o, const char *key, unsigned int digits, uint64_t number);
void add_known(struct json_object *o, const char *key, enum iol_known known);
void add_addr(struct json_object *o, const char *key, const struct iol_pci_addr *addr);

#endif
