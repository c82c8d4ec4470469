/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a virtio-net header promises and the other side can't do: checksums to complete, frames to cut
 * into segments. And whether a header that a driver wrote makes sense at all.
 *
 * Specification: virtio 1.3, 5.1.6.2 and 5.1.6.4.
 */
#ifndef IOL_VHOST_USER_NET_OFFLOAD_H
#define IOL_VHOST_USER_NET_OFFLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

/* The largest frame that a header can describe: 65535 bytes of IP behind Ethernet and two tags, and some. */
#define IOL_FRAME_MAX (65535u + 64u)

/* Headers of one segment: Ethernet, two tags, IPv6 with extension headers, TCP with options. */
#define IOL_SEGMENT_HEADERS_MAX 256

/**
 * iol_offload_check() - Whether a header agrees with a frame of @len bytes and with what was negotiated.
 * @features: those of virtio that the sender has: CSUM for NEEDS_CSUM, HOST_TSO4, HOST_TSO6, HOST_USO,
 *            HOST_ECN for the kinds of segmentation.
 *
 * NEEDS_CSUM wants csum_start + csum_offset + 2 within the frame; segmentation wants NEEDS_CSUM, a known
 * type and a gso_size that is not 0. Of the flags only NEEDS_CSUM is the driver's; the header is cleaned of
 * others, of hdr_len (a hint that may lie), and of all fields that nothing gives a meaning to.
 *
 * Return: true when it makes sense.
 */
bool iol_offload_check(struct virtio_net_hdr_v1 *hdr, uint32_t len, uint64_t features);

/**
 * iol_offload_needs() - What is to be done before a driver with @features (GUEST_CSUM, GUEST_TSO4, …) can
 * take a frame with this header.
 */
enum iol_offload_need {
	IOL_OFFLOAD_NONE,
	IOL_OFFLOAD_CHECKSUM, /* complete the checksum */
	IOL_OFFLOAD_SEGMENT,  /* cut it up; the segments may still want checksums completed */
};
enum iol_offload_need iol_offload_needs(const struct virtio_net_hdr_v1 *hdr, uint64_t features);

/**
 * iol_offload_checksum() - Complete a checksum, in a frame that lies in one piece and whose header
 * iol_offload_check() has passed; the header says then that nothing is left to do.
 * A sum of 0 is stored as 0xffff where it is UDP's (RFC 768), which is known by csum_offset 6.
 */
void iol_offload_checksum(uint8_t *frame, uint32_t len, struct virtio_net_hdr_v1 *hdr);

/** struct iol_segment - One segment: headers of its own, and a piece of the frame behind them. */
struct iol_segment {
	uint8_t headers[IOL_SEGMENT_HEADERS_MAX];
	uint32_t headers_len;
	const uint8_t *payload;
	uint32_t payload_len;
};

/**
 * struct iol_segmenter - A frame being cut.
 */
struct iol_segmenter {
	const uint8_t *frame;
	uint32_t len;
	uint16_t gso_size;
	uint8_t type; /* VIRTIO_NET_HDR_GSO_… without ECN */
	uint16_t l3, l4, headers_len;
	uint32_t done; /* payload bytes handed out */
	uint16_t index;
};

/**
 * iol_segmenter_start() - Begin to cut a frame that lies in one piece.
 * @frame: not changed; must stay and keep its contents until the last segment was taken (so it is a copy, where a
 *         guest could change it).
 *
 * The frame's own headers are parsed: Ethernet with up to two tags, IPv4 with options or IPv6 with
 * extension headers, TCP with options or UDP, as gso_type says, and all must agree with csum_start.
 *
 * Return: 0, or -EINVAL (no sentence) when it isn't what gso_type says: not segmentable.
 */
int iol_segmenter_start(struct iol_segmenter *s, const uint8_t *frame, uint32_t len,
			const struct virtio_net_hdr_v1 *hdr);

/**
 * iol_segmenter_next() - The next segment, complete with lengths, IPv4 id and header checksum, TCP sequence number
 * and flags (FIN and PSH on the last only, CWR on the first only), and its checksum.
 * Return: true, false when there is none left.
 */
bool iol_segmenter_next(struct iol_segmenter *s, struct iol_segment *seg);

#endif
