/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/net/offload.h"

#include <endian.h>
#include <string.h>

#include <rte_ip.h>

#define FEATURE(bit) (1ull << (bit))

static bool gso_check(struct virtio_net_hdr_v1 *hdr, uint64_t features)
{
	uint16_t offset = IOL_TCP_CSUM_OFFSET;
	uint64_t need;

	switch (hdr->gso_type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		hdr->gso_size = 0;
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		need = FEATURE(VIRTIO_NET_F_HOST_TSO4);
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		need = FEATURE(VIRTIO_NET_F_HOST_TSO6);
		break;
	case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
		need = FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_ECN);
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
		need = FEATURE(VIRTIO_NET_F_HOST_TSO6) | FEATURE(VIRTIO_NET_F_HOST_ECN);
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		need = FEATURE(VIRTIO_NET_F_HOST_USO);
		offset = IOL_UDP_CSUM_OFFSET;
		break;
	default:
		return false;
	}
	return (features & need) == need && hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	       le16toh(hdr->csum_offset) == offset && hdr->gso_size;
}

bool iol_offload_check(struct virtio_net_hdr_v1 *hdr, uint32_t len, uint64_t features)
{
	uint32_t start = le16toh(hdr->csum_start), offset = le16toh(hdr->csum_offset);

	hdr->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->hdr_len = 0;
	hdr->num_buffers = 0;
	if (hdr->flags) {
		if (!(features & FEATURE(VIRTIO_NET_F_CSUM)))
			return false;
		if (start < IOL_CSUM_START_MIN || start > IOL_CSUM_START_MAX ||
		    offset < IOL_CSUM_OFFSET_MIN || start + offset + 2 > len)
			return false;
	} else {
		hdr->csum_start = 0;
		hdr->csum_offset = 0;
	}
	return gso_check(hdr, features);
}

enum iol_offload_need iol_offload_needs(const struct virtio_net_hdr_v1 *hdr, uint64_t features)
{
	uint64_t need = 0;

	switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		need = FEATURE(VIRTIO_NET_F_GUEST_TSO4);
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		need = FEATURE(VIRTIO_NET_F_GUEST_TSO6);
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		/* The header doesn't tell which of the two it is. */
		need = FEATURE(VIRTIO_NET_F_GUEST_USO4) | FEATURE(VIRTIO_NET_F_GUEST_USO6);
		break;
	}
	if (hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		need |= FEATURE(VIRTIO_NET_F_GUEST_ECN);
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		need |= FEATURE(VIRTIO_NET_F_GUEST_CSUM);
	if ((features & need) == need)
		return IOL_OFFLOAD_NONE;
	return hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE ? IOL_OFFLOAD_CHECKSUM
							: IOL_OFFLOAD_SEGMENT;
}

void iol_offload_checksum(uint8_t *frame, uint32_t len, struct virtio_net_hdr_v1 *hdr)
{
	uint32_t start = le16toh(hdr->csum_start), offset = le16toh(hdr->csum_offset);
	uint16_t sum;

	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return;
	/* The field holds the pseudo header's sum and so adds it. */
	sum = (uint16_t)~rte_raw_cksum(frame + start, len - start);
	if (!sum && offset == IOL_UDP_CSUM_OFFSET)
		sum = 0xffff;
	memcpy(frame + start + offset, &sum, sizeof(sum));
	hdr->flags = 0;
	hdr->csum_start = 0;
	hdr->csum_offset = 0;
}
