/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/common/ctl.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"

#include <errno.h>
#include <json-c/json_tokener.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int ctl_address(const char *what, const char *path, struct sockaddr_un *addr)
{
	size_t len = strlen(path);

	if (len > CTL_PATH_MAX)
		return iol_fail(ENAMETOOLONG,
				"%s is %zu bytes long and a socket's path has at most %zu: use a "
				"shorter one, such as under /run or /tmp",
				what, len, CTL_PATH_MAX);
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, path, len);
	return 0;
}

int ctl_check_path(const char *what, const char *path)
{
	struct sockaddr_un addr;

	return ctl_address(what, path, &addr);
}

void ctl_default_path(const char *name, char *buf, size_t len)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	snprintf(buf, len, "%s/%s.sock", dir && *dir ? dir : "/run", name);
}

int ctl_parse(const char *line, size_t len, struct json_object **obj)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *parsed;
	enum json_tokener_error err;
	size_t end;

	if (!tok)
		return iol_fail(ENOMEM, "no memory to read JSON");
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	parsed = json_tokener_parse_ex(tok, line, (int)len);
	err = json_tokener_get_error(tok);
	end = json_tokener_get_parse_end(tok);
	json_tokener_free(tok);
	if (err != json_tokener_success || end != len) {
		json_object_put(parsed);
		return iol_fail(EINVAL, "not a line of JSON: %s",
				err == json_tokener_success    ? "more text follows it"
				: err == json_tokener_continue ? "it ends too early"
							       : json_tokener_error_desc(err));
	}
	if (!json_object_is_type(parsed, json_type_object)) {
		json_object_put(parsed);
		return iol_fail(EINVAL, "not a JSON object: write {\"cmd\": ...}");
	}
	*obj = parsed;
	return 0;
}

int ctl_get_string(struct json_object *obj, const char *key, const char **text)
{
	struct json_object *value;

	*text = NULL;
	if (!json_object_object_get_ex(obj, key, &value))
		return 0;
	if (!json_object_is_type(value, json_type_string))
		return iol_fail(EINVAL, "\"%s\" must be a string", key);
	*text = json_object_get_string(value);
	if (strlen(*text) != (size_t)json_object_get_string_len(value))
		return iol_fail(EINVAL, "\"%s\" must not hold a zero byte", key);
	return 0;
}

void ctl_add_string(struct json_object *obj, const char *key, const char *text)
{
	char *clean = strdup(text), *s = clean;

	while (s && *s) {
		size_t len = iol_utf8_length(s);

		if (!len)
			*s = '?';
		s += len ? len : 1;
	}
	json_object_object_add(obj, key, json_object_new_string(clean ? clean : ""));
	free(clean);
}

static int wait_for(int fd, short events, uint64_t deadline, const char *path)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now = iol_now();
	int rc;

	do {
		rc = now < deadline ? poll(&p, 1, (int)((deadline - now) / IOL_NS_PER_MS) + 1) : 0;
		now = iol_now();
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return iol_fail(errno, "cannot wait for %s: %s", path, strerror(errno));
	if (!rc)
		return iol_fail(ETIMEDOUT,
				"no answer on %s in time: its process is held up by something; "
				"try again or give more --timeout",
				path);
	return 0;
}

static int open_connection(const char *program, const char *path, uint64_t deadline)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un addr;
	int rc;

	rc = ctl_address("the control socket's path", path, &addr);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return iol_fail(errno, "cannot make a socket: %s", strerror(errno));
	/* A full backlog is EAGAIN and cannot be polled for. */
	while (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		if (errno == EAGAIN && iol_now() < deadline) {
			poll(NULL, 0, 10);
			continue;
		}
		if (errno == ENOENT || errno == ECONNREFUSED)
			return iol_fail(errno,
					"nothing listens on %s: start %s with --control=%s, "
					"or say with --control where it is",
					path, program, path);
		if (errno == EACCES || errno == EPERM)
			return iol_fail(
				errno,
				"no permission to connect to %s: only its owner and root may",
				path);
		return iol_fail(errno, "cannot connect to %s: %s", path, strerror(errno));
	}
	return iol_take_fd(&fd);
}

static int send_all(int fd, const char *text, size_t len, uint64_t deadline, const char *path)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			int rc = wait_for(fd, POLLOUT, deadline, path);

			if (rc < 0)
				return rc;
		} else if (n < 0 && errno != EINTR) {
			/* A side that refuses us says why before it closes: read that. */
			if (errno == EPIPE || errno == ECONNRESET)
				return 0;
			return iol_fail(errno, "cannot send to %s: %s", path, strerror(errno));
		} else if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* The reply's line without its newline, for the caller to free. */
static int receive_line(int fd, char **line, size_t *len, uint64_t deadline, const char *path)
{
	_cleanup_free_ char *buf = NULL;
	size_t used = 0, size = 0;

	for (;;) {
		char *newline;
		ssize_t n;

		if (used == size) {
			char *bigger;

			size = size ? size * 2 : 4096;
			if (size > CTL_REPLY_MAX)
				return iol_fail(EMSGSIZE, "the answer on %s is longer than %u MiB",
						path, CTL_REPLY_MAX >> 20);
			bigger = realloc(buf, size);
			if (!bigger)
				return iol_fail(ENOMEM, "no memory for the answer on %s", path);
			buf = bigger;
		}
		n = recv(fd, buf + used, size - used, 0);
		if (n < 0 && errno == EAGAIN) {
			int rc = wait_for(fd, POLLIN, deadline, path);

			if (rc < 0)
				return rc;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return iol_fail(ECONNRESET, "%s was closed without an answer", path);
		newline = memchr(buf + used, '\n', (size_t)n);
		used += (size_t)n;
		if (newline) {
			*len = (size_t)(newline - buf);
			*line = iol_take_ptr(buf);
			return 0;
		}
	}
}

int ctl_call(const char *program, const char *path, struct json_object *request,
	     unsigned int timeout_ms, struct json_object **result)
{
	uint64_t deadline = iol_now() + timeout_ms * IOL_NS_PER_MS;
	const char *text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *line = NULL;
	struct json_object *reply = NULL, *value;
	const char *error;
	size_t len = 0;
	int rc;

	if (!text)
		return iol_fail(ENOMEM, "no memory for a request");
	if (strlen(text) + 1 > CTL_REQUEST_MAX)
		return iol_fail(EMSGSIZE, "the request is longer than %u KiB",
				CTL_REQUEST_MAX >> 10);
	fd = open_connection(program, path, deadline);
	if (fd < 0)
		return fd;
	rc = send_all(fd, text, strlen(text), deadline, path);
	if (rc == 0)
		rc = send_all(fd, "\n", 1, deadline, path);
	if (rc == 0)
		rc = receive_line(fd, &line, &len, deadline, path);
	if (rc == 0)
		rc = ctl_parse(line, len, &reply);
	if (rc != 0)
		return rc;

	rc = 0;
	if (json_object_object_get_ex(reply, "ok", &value) && json_object_get_boolean(value)) {
		if (!json_object_object_get_ex(reply, "result", result))
			*result = NULL;
		json_object_get(*result);
	} else if (!ctl_get_string(reply, "error", &error) && error) {
		rc = iol_fail(EREMOTEIO, "%s", error);
	} else {
		rc = iol_fail(EPROTO, "the answer on %s is none of iolane's", path);
	}
	json_object_put(reply);
	return rc;
}
