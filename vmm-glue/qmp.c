/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The QEMU monitor's protocol (QEMU, docs/interop/qmp-spec.rst), as a client: a line of JSON a message. Answers carry the
 * number of their command; events come at any time and are kept until somebody asks.
 */
#include "vmm-glue/handover.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"

#include <json-c/json_tokener.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The longest line; the schema of a QEMU, which is never asked for here, has some 200 KB. */
#define LINE_MAX_BYTES (4u << 20)
#define DEPTH_MAX      64
/* Events that are kept; of more the oldest are forgotten. */
#define EVENTS_MAX 256

struct iol_qmp {
	int fd;
	unsigned int timeout_ms, version;
	int pid;
	int64_t next_id;
	char *buf;
	size_t len, size, scanned;
	struct json_object *events;
};

void iol_qmp_close(struct iol_qmp **qmp)
{
	struct iol_qmp *q = iol_take_ptr(*qmp);

	if (!q)
		return;
	iol_close(&q->fd);
	json_object_put(q->events);
	free(q->buf);
	free(q);
}

unsigned int iol_qmp_version(const struct iol_qmp *qmp)
{
	return qmp->version;
}

int iol_qmp_pid(const struct iol_qmp *qmp)
{
	return qmp->pid;
}

/* The end of the connection: an answer that comes later would be taken for another's. */
static void hang_up(struct iol_qmp *q)
{
	iol_close(&q->fd);
}

static uint64_t deadline_in(unsigned int ms)
{
	return iol_now() + ms * IOL_NS_PER_MS;
}

/* Return: 1 when the socket is ready, 0 when the time is over, or a negative errno. */
static int wait_fd(struct iol_qmp *q, short events, uint64_t deadline)
{
	struct pollfd pfd = { .fd = q->fd, .events = events };
	uint64_t now;
	int rc;

	do {
		now = iol_now();
		rc = poll(&pfd, 1,
			  now < deadline ? (int)((deadline - now) / IOL_NS_PER_MS) + 1 : 0);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? iol_fail(errno, "cannot wait for QEMU: %s", strerror(errno)) : rc;
}

static int grow(struct iol_qmp *q)
{
	size_t size = q->size ? 2 * q->size : 4096;
	char *buf;

	if (q->size >= LINE_MAX_BYTES)
		return iol_fail(EPROTO, "QEMU's monitor sent a line of more than %u MiB",
				LINE_MAX_BYTES >> 20);
	buf = realloc(q->buf, size);
	if (!buf)
		return iol_fail(ENOMEM, "no memory for what QEMU says");
	q->buf = buf;
	q->size = size;
	return 0;
}

/* Take in what has come. Return: as of wait_fd(). */
static int receive(struct iol_qmp *q, uint64_t deadline)
{
	ssize_t n;
	int rc;

	if (q->len == q->size) {
		rc = grow(q);
		if (rc)
			return rc;
	}
	rc = wait_fd(q, POLLIN, deadline);
	if (rc <= 0)
		return rc;
	n = recv(q->fd, q->buf + q->len, q->size - q->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (n <= 0)
		return iol_fail(ENOTCONN, "QEMU closed its monitor's socket%s%s", n ? ": " : "",
				n ? strerror(errno) : "");
	q->len += (size_t)n;
	return 1;
}

static int parse(const char *line, size_t len, struct json_object **message)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *o;
	size_t end;

	if (!tokener)
		return iol_fail(ENOMEM, "no memory for what QEMU says");
	/* UTF-8, for it goes on to people. */
	json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tokener, line, (int)len);
	end = json_tokener_get_parse_end(tokener);
	while (end < len && strchr(" \t\r", line[end]))
		end++;
	if (!json_object_is_type(o, json_type_object) || end != len) {
		json_object_put(o);
		o = NULL;
	}
	json_tokener_free(tokener);
	*message = o;
	return o ? 0 : iol_fail(EPROTO, "what came from the monitor's socket is no QMP");
}

/* The next message. Return: 1, 0 when the time is over, or a negative errno. */
static int next_message(struct iol_qmp *q, uint64_t deadline, struct json_object **message)
{
	char *newline;
	size_t line;
	int rc;

	for (;;) {
		newline = q->len ? memchr(q->buf + q->scanned, '\n', q->len - q->scanned) : NULL;
		if (newline)
			break;
		q->scanned = q->len;
		rc = receive(q, deadline);
		if (rc <= 0)
			return rc;
	}
	line = (size_t)(newline - q->buf);
	rc = parse(q->buf, line, message);
	q->len -= line + 1;
	q->scanned = 0;
	memmove(q->buf, newline + 1, q->len);
	return rc < 0 ? rc : 1;
}

static struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(o, key, &value);
	return value;
}

static void keep_event(struct iol_qmp *q, struct json_object *event)
{
	if (json_object_array_length(q->events) == EVENTS_MAX)
		json_object_array_del_idx(q->events, 0, 1);
	json_object_array_add(q->events, event);
}

static int refused(const char *command, struct json_object *error)
{
	struct json_object *desc = member(error, "desc");
	_cleanup_free_ char *text = desc ? strdup(json_object_get_string(desc)) : NULL;

	return iol_fail(EREMOTEIO, "QEMU refused %s: %s", command,
			text ? iol_printable(text) : "it did not say why");
}

/* Whether a message answers command number @id. Return: 1, 0 when it is an event or an older one's. */
static int take_answer(struct iol_qmp *q, struct json_object *message, int64_t id,
		       const char *command, struct json_object **result)
{
	struct json_object *number = member(message, "id"), *value, *error;

	if (member(message, "event")) {
		keep_event(q, json_object_get(message));
		return 0;
	}
	error = member(message, "error");
	/* What was no JSON for QEMU is answered without a number. */
	if (!number && error)
		return refused(command, error);
	if (!json_object_is_type(number, json_type_int) || json_object_get_int64(number) != id)
		return 0;
	if (error)
		return refused(command, error);
	if (!json_object_object_get_ex(message, "return", &value))
		return iol_fail(EPROTO, "the monitor's answer to %s says nothing", command);
	if (result)
		*result = json_object_get(value);
	return 1;
}

static int send_all(struct iol_qmp *q, const char *text, size_t len, uint64_t deadline)
{
	ssize_t n;
	int rc;

	while (len) {
		n = send(q->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			rc = wait_fd(q, POLLOUT, deadline);
			if (rc < 0)
				return rc;
			if (!rc)
				return iol_fail(ETIMEDOUT, "QEMU takes no commands");
		} else if (n < 0 && errno != EINTR) {
			return iol_fail(ENOTCONN, "QEMU closed its monitor's socket: %s",
					strerror(errno));
		}
	}
	return 0;
}

static int send_command(struct iol_qmp *q, const char *command, struct json_object *args,
			int64_t id, uint64_t deadline)
{
	struct json_object *o = json_object_new_object();
	const char *text;
	int rc;

	json_object_object_add(o, "execute", json_object_new_string(command));
	if (args)
		json_object_object_add(o, "arguments", args);
	json_object_object_add(o, "id", json_object_new_int64(id));
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
	rc = send_all(q, text, strlen(text), deadline);
	if (!rc)
		rc = send_all(q, "\n", 1, deadline);
	json_object_put(o);
	return rc;
}

static int wait_answer(struct iol_qmp *q, const char *command, int64_t id, uint64_t deadline,
		       struct json_object **result)
{
	struct json_object *message;
	int rc;

	/* Who talks all the time is not waited for any longer than who is silent. */
	do {
		rc = next_message(q, deadline, &message);
		if (rc < 0)
			return rc;
		if (!rc)
			break;
		rc = take_answer(q, message, id, command, result);
		json_object_put(message);
		if (rc)
			return rc < 0 ? rc : 0;
	} while (iol_now() < deadline);
	return iol_fail(ETIMEDOUT,
			"QEMU has not answered %s in time: it hangs, or waits for something",
			command);
}

int iol_qmp_call(struct iol_qmp *qmp, const char *command, struct json_object *args,
		 struct json_object **result)
{
	uint64_t deadline = deadline_in(qmp->timeout_ms);
	int64_t id = qmp->next_id++;
	int rc;

	if (qmp->fd < 0) {
		json_object_put(args);
		return iol_fail(ENOTCONN, "there is no connection to QEMU any more for %s",
				command);
	}
	rc = send_command(qmp, command, args, id, deadline);
	if (!rc)
		rc = wait_answer(qmp, command, id, deadline, result);
	if (rc < 0 && rc != -EREMOTEIO)
		hang_up(qmp);
	return rc;
}

int iol_qmp_event(struct iol_qmp *qmp, unsigned int timeout_ms, struct json_object **event)
{
	uint64_t deadline = deadline_in(timeout_ms);
	struct json_object *message;
	int rc;

	while (!json_object_array_length(qmp->events)) {
		if (qmp->fd < 0)
			return iol_fail(ENOTCONN, "there is no connection to QEMU any more");
		rc = next_message(qmp, deadline, &message);
		if (rc < 0)
			hang_up(qmp);
		if (rc <= 0)
			return rc;
		/* No command is under way, so an answer is one that nobody waits for. */
		if (member(message, "event"))
			keep_event(qmp, json_object_get(message));
		json_object_put(message);
		if (!json_object_array_length(qmp->events) && iol_now() >= deadline)
			return 0;
	}
	*event = json_object_get(json_object_array_get_idx(qmp->events, 0));
	json_object_array_del_idx(qmp->events, 0, 1);
	return 1;
}

static int greet(struct iol_qmp *q)
{
	struct json_object *hello, *version;
	int rc = next_message(q, deadline_in(q->timeout_ms), &hello);
	int64_t major, minor;

	if (!rc)
		return iol_fail(ETIMEDOUT, "QEMU's monitor does not greet: it talks to one at a "
					   "time, and somebody else may be there");
	if (rc < 0)
		return rc;
	version = member(member(member(hello, "QMP"), "version"), "qemu");
	major = json_object_get_int64(member(version, "major"));
	minor = json_object_get_int64(member(version, "minor"));
	json_object_put(hello);
	if (major < 1 || major > 10000 || minor < 0 || minor > 99)
		return iol_fail(EPROTO, "it does not greet as a QEMU's monitor does: -qmp or -mon "
					"mode=control makes one that does");
	q->version = (unsigned int)(100 * major + minor);
	return iol_qmp_call(q, "qmp_capabilities", NULL, NULL);
}

int iol_qmp_open_fd(int fd, unsigned int timeout_ms, struct iol_qmp **qmp)
{
	struct iol_qmp *q = calloc(1, sizeof(*q));
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	int rc;

	if (!q) {
		iol_close(&fd);
		return iol_fail(ENOMEM, "no memory for a monitor");
	}
	*q = (struct iol_qmp){ .fd = fd, .timeout_ms = timeout_ms };
	q->events = json_object_new_array();
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		q->pid = peer.pid;
	rc = greet(q);
	if (rc < 0)
		iol_qmp_close(&q);
	*qmp = q;
	return rc;
}

int iol_qmp_open(const char *path, unsigned int timeout_ms, struct iol_qmp **qmp)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, rc;

	*qmp = NULL;
	if (strlen(path) >= sizeof(addr.sun_path))
		return iol_fail(ENAMETOOLONG, "the path of QEMU's monitor is longer than %zu bytes",
				sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return iol_fail(errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		rc = iol_fail(errno,
			      "cannot connect to QEMU's monitor at %s: %s; start QEMU with -qmp "
			      "unix:%s,server=on,wait=off",
			      path, strerror(errno), path);
		iol_close(&fd);
		return rc;
	}
	rc = iol_qmp_open_fd(fd, timeout_ms, qmp);
	return rc < 0 ? iol_fail_more(rc, "%s", path) : 0;
}
