/* SPDX-License-Identifier: BSD-3-Clause */
/* Answers of VFIO's that carry a chain of capabilities (struct vfio_info_cap_header). */
#ifndef IOL_VFIO_INFO_H
#define IOL_VFIO_INFO_H

#include <stddef.h>
#include <stdint.h>

/**
 * vfio_info() - Ask for a structure that begins with argsz, as long as the kernel has it.
 * @head: what to ask with, @head_len bytes: the structure without its chain.
 * @info: the answer, for the caller to free. @len: how much of it is there.
 *
 * Return: 0, or a negative errno without a sentence; -EBADMSG: the kernel's length makes no sense.
 */
int vfio_info(int fd, unsigned long request, const void *head, size_t head_len, void **info,
	      size_t *len);

/**
 * vfio_info_cap() - The offset of a capability in such an answer.
 * @first: the chain's begin, from the structure. @head_len: its fixed part, where no capability can be.
 * @need: bytes that the capability must have.
 *
 * Return: the offset; -ENOENT: there is none; -EBADMSG: the chain leaves the answer, or does not go forwards.
 */
int vfio_info_cap(const void *info, size_t len, size_t head_len, uint32_t first, uint16_t id,
		  size_t need);

#endif
