/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading netlink attributes (linux/netlink.h, struct nlattr), each length checked. libmnl's loops end silently at a bad one. */
#ifndef IOL_SRIOV_ATTR_H
#define IOL_SRIOV_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct attrs - What is left of a run of attributes. */
struct attrs {
	const uint8_t *at;
	size_t left;
};

/** struct attr - One of them: its type without flags, and its payload. */
struct attr {
	uint16_t type;
	const uint8_t *data;
	size_t len;
};

/** iol_attr_next() - Take the next. Return: 1; 0 at the end; -EPROTO, without a sentence, for what is none. */
int iol_attr_next(struct attrs *from, struct attr *attr);

/** iol_attr_copy() - The first @len bytes of its payload. Return: false when there are fewer. */
bool iol_attr_copy(const struct attr *attr, void *to, size_t len);

/** iol_attr_text() - Its text, cut to @size bytes with its end. */
void iol_attr_text(const struct attr *attr, char *buf, size_t size);

/** iol_attr_nested() - What is in it. */
static inline struct attrs iol_attr_nested(const struct attr *attr)
{
	return (struct attrs){ attr->data, attr->len };
}

#endif
