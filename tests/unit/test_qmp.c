/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client of QEMU's monitor against one that says what a script has, all at once: commands are numbered, so what answers
 * them can be there before they are sent.
 */
#include "base/error.h"

#include <iolane/vmm_handover.h>

#include <json-c/json_object.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HELLO                                                                                      \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 1, \"major\": 9}}, "         \
	"\"capabilities\": []}}\r\n"
#define READY HELLO "{\"return\": {}, \"id\": 0}\n"
#define EVENT "{\"event\": \"RESUME\", \"timestamp\": {\"seconds\": 1}}\n"

/* Long for what is there already, and short for what never comes. */
#define LONG_MS  60000
#define SHORT_MS 20

/* A monitor that says @text; @open: and then waits. Return: our end. */
static int monitor(const char *text, int *theirs)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
	if (theirs)
		*theirs = fds[1];
	else
		assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	return fds[0];
}

static struct iol_qmp *opened(const char *text)
{
	struct iol_qmp *q = NULL;

	assert_int_equal(iol_qmp_open_fd(monitor(text, NULL), LONG_MS, &q), 0);
	assert_non_null(q);
	return q;
}

static void greetings(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{ READY, 0 },
		{ HELLO EVENT "{\"id\": 0, \"return\": {}}\n", 0 },
		{ "", -ENOTCONN },
		{ "\n", -EPROTO },
		{ "QEMU 10.0.2 monitor - type 'help' for more information\n", -EPROTO },
		{ "{}\n", -EPROTO },
		{ "[]\n", -EPROTO },
		{ "{\"QMP\": 1}\n", -EPROTO },
		{ "{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"x\"}}}}\n", -EPROTO },
		{ "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 9, \"minor\": -1}}}}\n",
		  -EPROTO },
		{ HELLO, -ENOTCONN },
		{ HELLO "{\"return\": {}, \"id\": 0}", -ENOTCONN },
		{ HELLO "{\"error\": {\"desc\": \"no\"}, \"id\": 0}\n", -EREMOTEIO },
	};
	struct iol_qmp *q;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		q = NULL;
		assert_int_equal(iol_qmp_open_fd(monitor(cases[i].text, NULL), LONG_MS, &q),
				 cases[i].rc);
		assert_int_equal(q != NULL, !cases[i].rc);
		if (q)
			assert_int_equal(iol_qmp_version(q), 901);
		iol_qmp_close(&q);
		assert_null(q);
	}
}

static void answers(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{ "{\"return\": [1], \"id\": 1}\n", 0 },
		{ EVENT EVENT "{\"return\": [1], \"id\": 1}\n", 0 },
		/* Another's, an older one's, and none. */
		{ "{\"return\": 0, \"id\": 7}\n{\"return\": 0, \"id\": \"1\"}\n{\"x\": 1}\n"
		  "{\"return\": [1], \"id\": 1}\n",
		  0 },
		{ "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not\\u001b so\"}, \"id\": "
		  "1}\n",
		  -EREMOTEIO },
		{ "{\"error\": {\"desc\": 5}, \"id\": 1}\n", -EREMOTEIO },
		{ "{\"error\": {}}\n", -EREMOTEIO },
		{ "{\"id\": 1}\n", -EPROTO },
		{ "{\"return\": [1], \"id\": 1\n", -EPROTO },
		{ "{\"return\": [1], \"id\": 1} x\n", -EPROTO },
		{ "{\"return\": \"\xff\", \"id\": 1}\n", -EPROTO },
		{ EVENT, -ENOTCONN },
		{ "{\"return\": [1], \"id\": 1}", -ENOTCONN },
	};
	char text[2048];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *result = NULL;
		struct iol_qmp *q;

		snprintf(text, sizeof(text), READY "%s", cases[i].text);
		q = opened(text);
		assert_int_equal(iol_qmp_call(q, "query-x", json_object_new_object(), &result),
				 cases[i].rc);
		if (!cases[i].rc)
			assert_int_equal(json_object_array_length(result), 1);
		else
			assert_null(result);
		assert_null(strchr(iol_error(), '\033'));
		json_object_put(result);
		/* What broke the protocol is not talked to any more; a refusal is an answer. */
		if (cases[i].rc && cases[i].rc != -EREMOTEIO) {
			assert_int_equal(iol_qmp_call(q, "query-y", json_object_new_object(), NULL),
					 -ENOTCONN);
			assert_non_null(strstr(iol_error(), "no connection"));
		}
		iol_qmp_close(&q);
	}
}

static void silence(void **state)
{
	struct iol_qmp *q = NULL;
	struct json_object *event;
	int theirs;

	assert_int_equal(iol_qmp_open_fd(monitor("", &theirs), SHORT_MS, &q), -ETIMEDOUT);
	assert_null(q);
	close(theirs);
	assert_int_equal(iol_qmp_open_fd(monitor(READY EVENT, &theirs), SHORT_MS, &q), 0);
	assert_int_equal(iol_qmp_event(q, LONG_MS, &event), 1);
	json_object_put(event);
	/* There may be none, and that ends nothing; an answer that is missing does. */
	assert_int_equal(iol_qmp_event(q, 0, &event), 0);
	assert_int_equal(iol_qmp_event(q, SHORT_MS, &event), 0);
	assert_int_equal(iol_qmp_call(q, "query-x", NULL, NULL), -ETIMEDOUT);
	assert_int_equal(iol_qmp_call(q, "query-x", NULL, NULL), -ENOTCONN);
	assert_int_equal(iol_qmp_event(q, 0, &event), -ENOTCONN);
	iol_qmp_close(&q);
	close(theirs);
}

/* A child says so much that it does not fit into the socket. Return: our end. */
static int talker(void (*talk)(int fd), pid_t *pid)
{
	int theirs, fd = monitor(READY, &theirs);

	*pid = fork();
	assert_true(*pid >= 0);
	if (!*pid) {
		close(fd);
		talk(theirs);
		_exit(0);
	}
	close(theirs);
	return fd;
}

static void say_long_line(int fd)
{
	static char text[65536];
	int i;

	memset(text, ' ', sizeof(text));
	for (i = 0; i < 128; i++) {
		if (send(fd, text, sizeof(text), MSG_NOSIGNAL) <= 0)
			return;
	}
}

static void long_lines(void **state)
{
	struct iol_qmp *q = NULL;
	pid_t pid;

	assert_int_equal(iol_qmp_open_fd(talker(say_long_line, &pid), LONG_MS, &q), 0);
	assert_int_equal(iol_qmp_call(q, "query-x", NULL, NULL), -EPROTO);
	assert_non_null(strstr(iol_error(), "line of more than"));
	iol_qmp_close(&q);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void say_events(int fd)
{
	char text[64];
	int i;

	for (i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "{\"event\": \"E\", \"data\": %d}\n", i);
		if (send(fd, text, strlen(text), MSG_NOSIGNAL) <= 0)
			return;
	}
	snprintf(text, sizeof(text), "{\"return\": 1, \"id\": 1}\n");
	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* The newest are kept, and in their order. */
static void many_events(void **state)
{
	struct json_object *event, *data;
	struct iol_qmp *q = NULL;
	int i, last = -1;
	pid_t pid;

	assert_int_equal(iol_qmp_open_fd(talker(say_events, &pid), LONG_MS, &q), 0);
	assert_int_equal(iol_qmp_call(q, "query-x", NULL, NULL), 0);
	for (i = 0; i < 256; i++) {
		assert_int_equal(iol_qmp_event(q, 0, &event), 1);
		assert_true(json_object_object_get_ex(event, "data", &data));
		assert_int_equal(json_object_get_int(data), 1000 - 256 + i);
		last = json_object_get_int(data);
		json_object_put(event);
	}
	assert_int_equal(last, 999);
	iol_qmp_close(&q);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* An endless talker who never answers is not waited for any longer than a silent one. */
static void say_for_ever(int fd)
{
	while (send(fd, EVENT, strlen(EVENT), MSG_NOSIGNAL) > 0) {
	}
}

static void endless(void **state)
{
	struct iol_qmp *q = NULL;
	pid_t pid;

	assert_int_equal(iol_qmp_open_fd(talker(say_for_ever, &pid), SHORT_MS * 10, &q), 0);
	assert_int_equal(iol_qmp_call(q, "query-x", NULL, NULL), -ETIMEDOUT);
	iol_qmp_close(&q);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greetings),   cmocka_unit_test(answers),
		cmocka_unit_test(silence),     cmocka_unit_test(long_lines),
		cmocka_unit_test(many_events), cmocka_unit_test(endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
