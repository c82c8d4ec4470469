/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket's server: JSON lines from a few clients, answered in the main thread. A client must be
 * of our user or root. One that is slow, silent, or does not read its answers is closed after
 * CTL_CLIENT_MS; when there are too many, the one that was silent longest goes.
 */
#ifndef TOOLS_COMMON_CTL_SERVER_H
#define TOOLS_COMMON_CTL_SERVER_H

#include <json-c/json_object.h>

#define CTL_CLIENTS   16
#define CTL_CLIENT_MS 10000

struct ctl_server;

/**
 * struct ctl_verb - What a client can ask for.
 * @name: the request's "cmd".
 * @run: does it. 0 and *@result, which may stay NULL; or a negative errno with the sentence set.
 */
struct ctl_verb {
	const char *name;
	int (*run)(void *ctx, struct json_object *request, struct json_object **result);
};

/**
 * struct ctl_verbs - All of that.
 * @ctx: handed to each.
 */
struct ctl_verbs {
	const struct ctl_verb *list;
	unsigned int num;
	void *ctx;
};

/**
 * ctl_answer() - Do what one request says.
 * @line: @len bytes without newline, from the client as they came.
 *
 * Return: the reply with its newline, for the caller to free; NULL without memory.
 */
char *ctl_answer(const struct ctl_verbs *verbs, const char *line, size_t len);

/** ctl_refuse() - The reply to what cannot be answered: an error of this sentence. */
char *ctl_refuse(const char *sentence);

/**
 * ctl_server_new() - Listen on @path, with mode 0600.
 * @epoll: where the server's descriptors are watched; their event.data.ptr never is NULL.
 * @verbs: copied; the list stays the caller's.
 *
 * Return: 0, or a negative errno with the sentence set: -EADDRINUSE when a live process has the
 * path (a stale socket is replaced).
 */
int ctl_server_new(const char *path, int epoll, const struct ctl_verbs *verbs,
		   struct ctl_server **server);

/** ctl_server_destroy() - Close all and remove the socket. Nulls *@server; NULL is fine. */
void ctl_server_destroy(struct ctl_server **server);

/**
 * ctl_server_event() - Deal with an event whose event.data.ptr is @ptr. Wait for one event a time: what
 * is done for one may close the descriptor of another.
 */
void ctl_server_event(struct ctl_server *server, void *ptr, unsigned int events);

/** ctl_server_tick() - Close the clients whose time is over. Return: ms to the next, -1 for never. */
int ctl_server_tick(struct ctl_server *server);

#endif
