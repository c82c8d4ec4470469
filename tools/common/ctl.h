/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket's protocol, as both sides know it. A request is one line of JSON,
 *     {"cmd": "del", "name": "disk0"}
 * at most CTL_REQUEST_MAX bytes with its newline. The reply is one line too:
 *     {"ok": true, "result": …}  or  {"ok": false, "error": "a sentence"}
 * Requests on one connection are answered in order. docs/control.md has the commands.
 */
#ifndef TOOLS_COMMON_CTL_H
#define TOOLS_COMMON_CTL_H

#include <json-c/json_object.h>
#include <stddef.h>
#include <sys/un.h>

#define CTL_REQUEST_MAX 65536
#define CTL_REPLY_MAX   (64u << 20)
#define CTL_PATH_MAX    (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/** ctl_address() - Fill in a socket address, or -ENAMETOOLONG with the sentence set. */
int ctl_address(const char *what, const char *path, struct sockaddr_un *addr);

/** ctl_check_path() - Whether a socket can have this path: 0, or as ctl_address(). */
int ctl_check_path(const char *what, const char *path);

/**
 * ctl_default_path() - Where the control socket of a program is when nobody says:
 * $XDG_RUNTIME_DIR/NAME.sock, or /run/NAME.sock where that is not set.
 */
void ctl_default_path(const char *name, char *buf, size_t len);

/**
 * ctl_parse() - One line of JSON to an object (and nothing but an object).
 * Return: 0 and *@obj, or -EINVAL with the sentence set.
 */
int ctl_parse(const char *line, size_t len, struct json_object **obj);

/**
 * ctl_get_string() - The string under @key.
 * Return: 0 and *@text (owned by @obj; NULL when there is none), or -EINVAL when it is no string or holds a
 * zero byte.
 */
int ctl_get_string(struct json_object *obj, const char *key, const char **text);

/** ctl_add_string() - Add a string; bytes that are no UTF-8 become question marks. */
void ctl_add_string(struct json_object *obj, const char *key, const char *text);

/**
 * ctl_call() - Connect to @path, send one request and wait for its reply.
 * @program: that should listen there, for the sentence.
 * @timeout_ms: for all of it.
 * @result: the reply's result, owned by the caller.
 *
 * Return: 0, or a negative errno with the sentence set; -EREMOTEIO when the sentence is the other
 * side's.
 */
int ctl_call(const char *program, const char *path, struct json_object *request,
	     unsigned int timeout_ms, struct json_object **result);

#endif
