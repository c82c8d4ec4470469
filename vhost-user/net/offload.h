/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a virtio-net header promises and the other side can't do: checksums to complete, frames to
 * cut into segments. And whether a header that a driver wrote makes sense at all.
 *
 * Specification: virtio 1.3, 5.1.6.2 and 5.1.6.4.
 */
#ifndef IOL_VHOST_USER_NET_OFFLOAD_H
#define IOL_VHOST_USER_NET_OFFLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

/* Virtio 1.3's, 5.1.3 and 5.1.6, which kernel headers before 6.2 do not have. */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* The largest frame that a header can describe: 65535 bytes behind Ethernet, two tags and IPv6. */
#define IOL_FRAME_MAX (65535u + 64u)

/* Headers of one segment: Ethernet, two tags, IPv6 with extension headers, TCP with options. */
#define IOL_SEGMENT_HEADERS_MAX 256

/*
 * No transport header is nearer to a frame's start than behind Ethernet and IPv4 without options,
 * and none has its checksum in the first two bytes.
 */
#define IOL_CSUM_START_MIN  34
#define IOL_CSUM_OFFSET_MIN 2

/* A tag that is put in moves the place on, which has 16 bits. */
#define IOL_CSUM_START_MAX (65535 - 4)

/* Where TCP and UDP have their checksums. */
#define IOL_TCP_CSUM_OFFSET 16
#define IOL_UDP_CSUM_OFFSET 6

/**
 * iol_offload_check() - Whether a header agrees with a frame of @len bytes and with what was
 * negotiated.
 * @features: those of virtio that the sender has: CSUM for NEEDS_CSUM, HOST_TSO4, HOST_TSO6,
 *            HOST_USO, HOST_ECN for the kinds of segmentation.
 *
 * NEEDS_CSUM wants csum_start + csum_offset + 2 within the frame, and behind where the addresses
 * are in Ethernet's header, and in that of IPv4 or ARP behind one tag or none, lest it be written
 * over what the switch has looked at; segmentation wants NEEDS_CSUM, a known type, the checksum
 * where that has it, and a gso_size that is not 0. UFO (GSO_UDP) is never offered. Of the flags
 * only NEEDS_CSUM is the driver's; the header is cleaned of others, of hdr_len (a hint that may
 * lie), and of all fields that nothing gives a meaning to. Where it does not make sense it is left
 * half cleaned.
 *
 * Return: true when it makes sense.
 */
bool iol_offload_check(struct virtio_net_hdr_v1 *hdr, uint32_t len, uint64_t features);

/**
 * iol_offload_needs() - What is to be done before a driver with @features (GUEST_CSUM, GUEST_TSO4,
 * …) can take a frame with this header.
 */
enum iol_offload_need {
	IOL_OFFLOAD_NONE,
	IOL_OFFLOAD_CHECKSUM, /* complete the checksum */
	IOL_OFFLOAD_SEGMENT,  /* cut it up; nothing is left to do in the segments */
};
enum iol_offload_need iol_offload_needs(const struct virtio_net_hdr_v1 *hdr, uint64_t features);

/**
 * iol_offload_checksum() - Complete a checksum, in a frame that lies in one piece and whose header
 * iol_offload_check() has passed; the header says then that nothing is left to do. Does nothing
 * where nothing is wanted. A sum of 0 is stored as 0xffff where it is UDP's (RFC 768), which is
 * known by csum_offset 6.
 */
void iol_offload_checksum(uint8_t *frame, uint32_t len, struct virtio_net_hdr_v1 *hdr);

/*
 * A frame is cut into no more than this: 64 KiB by the smallest TCP segments that Linux makes, of 48 bytes. One byte
 * each would keep a poll thread from its other ports for too long.
 */
#define IOL_SEGMENTS_MAX 1366

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
 * @frame: not changed; must stay and keep its contents until the last segment was taken (so it is a
 *         copy, where a guest could change it).
 *
 * The frame's own headers are parsed: Ethernet with up to two tags, IPv4 with options or IPv6 with
 * extension headers, TCP with options or UDP, as gso_type says, and all must agree with csum_start.
 * The lengths that IP and UDP tell must be the frame's, no fragment or SYN can be cut, and headers
 * may have IOL_SEGMENT_HEADERS_MAX bytes. The checksum's field must hold the sum of the pseudo
 * header, as the driver promises: what else it holds makes the segments' checksums wrong, which
 * harms nobody but the sender.
 *
 * Return: 0, or -EINVAL (no sentence) when it isn't what gso_type says: not segmentable.
 */
int iol_segmenter_start(struct iol_segmenter *s, const uint8_t *frame, uint32_t len,
			const struct virtio_net_hdr_v1 *hdr);

/**
 * iol_segmenter_next() - The next segment, complete with lengths, IPv4 id and header checksum, TCP
 * sequence number and flags (FIN and PSH on the last only, CWR on the first only), and its
 * checksum, so that nothing is left to do. A frame that is no longer than one segment, or has no
 * payload at all, gives one.
 * Return: true, false when there is none left.
 */
bool iol_segmenter_next(struct iol_segmenter *s, struct iol_segment *seg);

#endif
