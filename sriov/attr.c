/* SPDX-License-Identifier: BSD-3-Clause */
#include "sriov/attr.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>

int iol_attr_next(struct attrs *from, struct attr *attr)
{
	struct nlattr head;
	size_t whole;

	if (!from->left)
		return 0;
	if (from->left < sizeof(head))
		return -EPROTO;
	memcpy(&head, from->at, sizeof(head));
	if (head.nla_len < sizeof(head) || head.nla_len > from->left)
		return -EPROTO;
	attr->type = head.nla_type & NLA_TYPE_MASK;
	attr->data = from->at + sizeof(head);
	attr->len = head.nla_len - sizeof(head);
	whole = NLA_ALIGN(head.nla_len);
	if (whole > from->left)
		whole = from->left;
	from->at += whole;
	from->left -= whole;
	return 1;
}

bool iol_attr_copy(const struct attr *attr, void *to, size_t len)
{
	if (attr->len < len)
		return false;
	memcpy(to, attr->data, len);
	return true;
}

void iol_attr_text(const struct attr *attr, char *buf, size_t size)
{
	size_t len = strnlen((const char *)attr->data, attr->len);

	if (len > size - 1)
		len = size - 1;
	memcpy(buf, attr->data, len);
	buf[len] = '\0';
}
