/* SPDX-License-Identifier: BSD-3-Clause */
#include "echo.h"

#include "base/error.h"
#include "base/own.h"
#include "vhost-user/driver.h"
#include "vhost-user/listen.h"
#include "vhost-user/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 20000 /* only a broken server makes anybody wait that long */

#define MEM_SIZE 0x100000ull
#define GPA      0x40000000ull
#define UADDR    0x7f1200000000ull
#define SIZE     16u

struct fixture {
	char dir[32];
	char path[64];
	struct echo *echo;
	struct iol_device *dev;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/iolane-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	f->echo = echo_new(2);
	f->dev = echo_device(f->echo);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	echo_destroy(f->echo);
	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static int dial(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		iol_close(&fd);
	return fd;
}

/* A listening socket of the test's own. */
static int listen_at(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static int accept_within(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

static uint64_t ask(int sock, uint32_t request, const void *payload, uint32_t size, int fd)
{
	const struct iol_wire_row *row = iol_wire_row(request);
	struct iol_wire_rx rx = { 0 };
	uint64_t rc;

	assert_int_equal(iol_wire_send(sock, request,
				       row->reply == IOL_REPLY_ACK ? VHOST_USER_NEED_REPLY_MASK : 0,
				       payload, size, &fd, fd >= 0, WAIT_MS),
			 0);
	assert_int_equal(iol_wire_wait(sock, &rx, WAIT_MS), 0);
	assert_int_equal(rx.msg.hdr.request, request);
	rc = row->reply == IOL_REPLY_STATE ? rx.msg.payload.state.num : rx.msg.payload.u64;
	iol_wire_next(&rx);
	return rc;
}

/* A front end that says hello, to see that it is being served. */
static void hello(int sock)
{
	assert_true(ask(sock, VHOST_USER_GET_FEATURES, NULL, 0, -1) & (1ull << VIRTIO_F_VERSION_1));
}

static bool wait_for(bool (*is)(const struct iol_server *), const struct iol_server *s, bool value)
{
	unsigned int i;

	for (i = 0; i < WAIT_MS; i++) {
		if (is(s) == value)
			return true;
		usleep(1000);
	}
	return false;
}

/* ---- paths ---- */

static void bad_paths(void **state)
{
	struct fixture *f = *state;
	struct iol_server_spec spec = { .path = f->path, .fd = -1 };
	struct iol_server *s = NULL;
	char longer[128];
	struct stat st;
	int fd;

	memset(longer, 'x', sizeof(longer));
	longer[108] = '\0';
	spec.path = longer;
	assert_int_equal(iol_server_new(f->dev, &spec, &s), -ENAMETOOLONG);
	assert_non_null(strstr(iol_error(), "107"));
	spec.client = true;
	assert_int_equal(iol_server_new(f->dev, &spec, &s), -ENAMETOOLONG);
	spec.path = "";
	assert_int_equal(iol_server_new(f->dev, &spec, &s), -EINVAL);
	spec.client = false;
	spec.path = NULL;
	assert_int_equal(iol_server_new(f->dev, &spec, &s), -EINVAL);
	spec.path = "/nowhere/at/all";
	assert_int_equal(iol_server_new(f->dev, &spec, &s), -ENOENT);
	/* Somebody's file is not ours to remove. */
	spec.path = f->path;
	fd = open(f->path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(iol_server_new(f->dev, &spec, &s), -ENOTSOCK);
	assert_int_equal(stat(f->path, &st), 0);
	unlink(f->path);
	/* Nor is a socket that somebody serves on. */
	fd = listen_at(f->path);
	assert_int_equal(iol_server_new(f->dev, &spec, &s), -EADDRINUSE);
	assert_int_equal(stat(f->path, &st), 0);
	close(fd);
	assert_null(s);
}

static void a_stale_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	const struct iol_server_spec spec = { .path = f->path, .fd = -1, .mode = 0660 };
	struct iol_server *s = NULL;
	struct stat st;
	int sock = listen_at(f->path);

	close(sock);
	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	sock = dial(f->path);
	assert_true(sock >= 0);
	hello(sock);
	close(sock);
	iol_server_destroy(&s);
	assert_null(s);
	assert_int_equal(stat(f->path, &st), -1);
	iol_server_destroy(&s);
}

/* Whoever waits for the file may connect when it is there. */
static void the_file_appears_when_it_listens(void **state)
{
	struct fixture *f = *state;
	const struct iol_server_spec spec = { .path = f->path, .fd = -1 };
	char events[4096] __attribute__((aligned(8)));
	int in = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct iol_server *s = NULL;
	unsigned int appeared = 0;
	ssize_t at, len;

	assert_true(inotify_add_watch(in, f->dir, IN_CREATE | IN_MOVED_TO) >= 0);
	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	len = read(in, events, sizeof(events));
	for (at = 0; at < len;) {
		const struct inotify_event *e = (const void *)(events + at);

		if (!strcmp(e->name, "sock")) {
			assert_int_equal(e->mask, IN_MOVED_TO);
			appeared++;
		}
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	assert_int_equal(appeared, 1);
	iol_server_destroy(&s);
	close(in);
}

/* One that is killed before its socket has its name leaves a file: the next one takes that away. */
static void what_a_killed_one_leaves(void **state)
{
	struct fixture *f = *state;
	const struct iol_server_spec spec = { .path = f->path, .fd = -1 };
	_cleanup_close_ int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct iol_server *s = NULL;
	char early[128];
	struct stat st;
	int fd;

	snprintf(early, sizeof(early), "%s/.sock", f->dir);
	fd = listen_at(early);
	close(fd);
	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	assert_int_equal(lstat(early, &st), -1);
	iol_server_destroy(&s);
	/* Nobody's to remove. */
	fd = open(early, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(iol_server_new(f->dev, &spec, &s), -ENOTSOCK);
	assert_non_null(strstr(iol_error(), early));
	assert_int_equal(lstat(f->path, &st), -1);
	assert_int_equal(unlink(early), 0);
	/* One that keeps the directory's lock keeps nobody from it. */
	assert_int_equal(flock(dir, LOCK_EX), 0);
	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	iol_server_destroy(&s);
}

#define RIVALS 4

static struct {
	pthread_barrier_t go;
	const char *path;
	struct iol_listener listener[RIVALS];
	int rc[RIVALS];
} rivals;

static void *rival(void *number)
{
	uintptr_t i = (uintptr_t)number;

	rivals.listener[i].fd = -1;
	pthread_barrier_wait(&rivals.go);
	rivals.rc[i] = iol_listen(rivals.path, 0, &rivals.listener[i]);
	return NULL;
}

/* Of those that begin at the same path at the same time one listens there, and the others know. */
static void one_of_many(void **state)
{
	struct fixture *f = *state;
	pthread_t thread[RIVALS];
	unsigned int round;
	uintptr_t i;

	rivals.path = f->path;
	assert_int_equal(pthread_barrier_init(&rivals.go, NULL, RIVALS), 0);
	for (round = 0; round < 100; round++) {
		unsigned int won = 0;
		int sock;

		for (i = 0; i < RIVALS; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, rival, (void *)i), 0);
		for (i = 0; i < RIVALS; i++)
			assert_int_equal(pthread_join(thread[i], NULL), 0);
		sock = dial(f->path);
		assert_true(sock >= 0);
		for (i = 0; i < RIVALS; i++) {
			if (rivals.rc[i]) {
				assert_int_equal(rivals.rc[i], -EADDRINUSE);
				continue;
			}
			close(accept_within(rivals.listener[i].fd));
			iol_listener_close(&rivals.listener[i]);
			won++;
		}
		assert_int_equal(won, 1);
		close(sock);
	}
	pthread_barrier_destroy(&rivals.go);
}

/* The longest path there may be leaves no room for another name beside it. */
static void the_longest_path(void **state)
{
	struct fixture *f = *state;
	char path[128], dir[128];
	struct iol_server_spec spec = { .path = path, .fd = -1 };
	struct iol_server *s = NULL;
	int n, sock;

	n = snprintf(dir, sizeof(dir), "%s/", f->dir);
	memset(dir + n, 'd', 105 - (size_t)n);
	dir[105] = '\0';
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(path, sizeof(path), "%s/s", dir);
	assert_int_equal(strlen(path), 107);
	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	sock = dial(path);
	assert_true(sock >= 0);
	hello(sock);
	close(sock);
	iol_server_destroy(&s);
	assert_int_equal(rmdir(dir), 0);
}

static void another_ones_socket_stays(void **state)
{
	struct fixture *f = *state;
	const struct iol_server_spec spec = { .path = f->path, .fd = -1 };
	struct iol_server *s = NULL;
	struct stat st;
	int fd;

	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	assert_int_equal(unlink(f->path), 0);
	fd = listen_at(f->path);
	iol_server_destroy(&s);
	assert_int_equal(stat(f->path, &st), 0);
	close(fd);
}

/* ---- connections ---- */

static void one_front_end_at_a_time(void **state)
{
	struct fixture *f = *state;
	const struct iol_server_spec spec = { .path = f->path, .fd = -1 };
	struct iol_server *s = NULL;
	struct pollfd p;
	int first, second;

	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	assert_false(iol_server_connected(s));
	first = dial(f->path);
	hello(first);
	assert_true(iol_server_connected(s));
	second = dial(f->path);
	assert_int_equal(
		iol_wire_send(second, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0, WAIT_MS), 0);
	hello(first);
	p = (struct pollfd){ .fd = second, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 0), 0);
	close(first);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	close(second);
	assert_true(wait_for(iol_server_connected, s, false));
	assert_false(iol_server_finished(s));
	iol_server_destroy(&s);
}

static void a_client_comes_again(void **state)
{
	struct fixture *f = *state;
	const struct iol_server_spec spec = { .path = f->path, .fd = -1, .client = true };
	struct iol_server *s = NULL;
	int fd, sock, i;

	/* Nobody is there yet. */
	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	fd = listen_at(f->path);
	for (i = 0; i < 3; i++) {
		sock = accept_within(fd);
		assert_true(sock >= 0);
		hello(sock);
		assert_true(iol_server_connected(s));
		close(sock);
	}
	close(fd);
	iol_server_destroy(&s);
}

static void a_connected_descriptor(void **state)
{
	struct fixture *f = *state;
	struct iol_server_spec spec = { .fd = -1 };
	struct iol_server *s = NULL;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	spec.fd = pair[0];
	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	hello(pair[1]);
	assert_false(iol_server_finished(s));
	close(pair[1]);
	assert_true(wait_for(iol_server_finished, s, true));
	iol_server_destroy(&s);
	/* What is no Unix socket is closed and refused. */
	spec.fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(iol_server_new(f->dev, &spec, &s), -ENOTSOCK);
	assert_int_equal(fcntl(spec.fd, F_GETFD), -1);
}

static void a_listening_descriptor(void **state)
{
	struct fixture *f = *state;
	struct iol_server_spec spec = { .fd = listen_at(f->path) };
	struct iol_server *s = NULL;
	struct stat st;
	int sock, i;

	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	for (i = 0; i < 2; i++) {
		sock = dial(f->path);
		hello(sock);
		close(sock);
	}
	iol_server_destroy(&s);
	/* Whoever made the file removes it. */
	assert_int_equal(stat(f->path, &st), 0);
}

static void a_bad_message_ends_its_connection_only(void **state)
{
	struct fixture *f = *state;
	const struct iol_server_spec spec = { .path = f->path, .fd = -1 };
	struct iol_wire_rx rx = { 0 };
	struct iol_server *s = NULL;
	int sock;

	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	sock = dial(f->path);
	assert_int_equal(iol_wire_send(sock, 12345, 0, NULL, 0, NULL, 0, WAIT_MS), 0);
	assert_int_equal(iol_wire_wait(sock, &rx, WAIT_MS), -ECONNRESET);
	close(sock);
	sock = dial(f->path);
	hello(sock);
	close(sock);
	iol_server_destroy(&s);
}

static void half_a_message_holds_up_nobody(void **state)
{
	struct fixture *f = *state;
	const struct iol_server_spec spec = { .path = f->path, .fd = -1 };
	struct iol_server *s = NULL;
	int sock;

	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	sock = dial(f->path);
	hello(sock);
	assert_int_equal(send(sock, "\1\0\0\0\1", 5, 0), 5);
	iol_server_destroy(&s);
	close(sock);
}

/* ---- a whole device ---- */

struct guest {
	int sock, memfd, kick, call, back;
	uint8_t *mem;
	struct iol_driver_ring *driver;
};

static void guest_open(struct guest *g, int sock, bool packed)
{
	const struct iol_driver_spec spec = { .size = SIZE, .packed = packed, .event_idx = true };
	struct iol_driver_spec d = spec;

	memset(g, 0, sizeof(*g));
	g->sock = sock;
	g->memfd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(g->memfd, MEM_SIZE), 0);
	g->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->memfd, 0);
	assert_ptr_not_equal(g->mem, MAP_FAILED);
	d.desc = g->mem;
	d.avail = g->mem + 0x1000;
	d.used = g->mem + 0x2000;
	assert_int_equal(iol_driver_new(&d, &g->driver), 0);
	g->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	g->call = eventfd(0, EFD_CLOEXEC);
	g->back = -1;
}

static void guest_close(struct guest *g)
{
	iol_driver_destroy(&g->driver);
	munmap(g->mem, MEM_SIZE);
	close(g->memfd);
	close(g->kick);
	close(g->call);
	close(g->sock);
	iol_close(&g->back);
}

static void share(struct guest *g)
{
	struct vhost_user_memory m = { .nregions = 1 };

	m.region[0] = (struct iol_mem_desc){ GPA, MEM_SIZE, UADDR, 0 };
	assert_int_equal(ask(g->sock, VHOST_USER_SET_MEM_TABLE, &m, 8 + 32, g->memfd), 0);
}

static void start(struct guest *g, bool packed)
{
	const struct vhost_vring_addr a = { .desc_user_addr = UADDR,
					    .avail_user_addr = UADDR + 0x1000,
					    .used_user_addr = UADDR + 0x2000 };
	const struct vhost_vring_state num = { 0, SIZE }, on = { 0, 1 };
	const struct vhost_vring_state base = { 0, iol_driver_base(g->driver) };
	uint64_t protocol = 0x1b62b, queue = 0, features;

	features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VHOST_USER_F_PROTOCOL_FEATURES |
		   1ull << VIRTIO_RING_F_EVENT_IDX;
	if (packed)
		features |= 1ull << VIRTIO_F_RING_PACKED;
	assert_int_equal(ask(g->sock, VHOST_USER_SET_PROTOCOL_FEATURES, &protocol, 8, -1), 0);
	assert_int_equal(ask(g->sock, VHOST_USER_SET_OWNER, NULL, 0, -1), 0);
	assert_int_equal(ask(g->sock, VHOST_USER_SET_FEATURES, &features, 8, -1), 0);
	share(g);
	assert_int_equal(ask(g->sock, VHOST_USER_SET_VRING_NUM, &num, 8, -1), 0);
	assert_int_equal(ask(g->sock, VHOST_USER_SET_VRING_BASE, &base, 8, -1), 0);
	assert_int_equal(ask(g->sock, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_int_equal(ask(g->sock, VHOST_USER_SET_VRING_CALL, &queue, 8, g->call), 0);
	assert_int_equal(ask(g->sock, VHOST_USER_SET_VRING_KICK, &queue, 8, g->kick), 0);
	assert_int_equal(ask(g->sock, VHOST_USER_SET_VRING_ENABLE, &on, 8, -1), 0);
}

/* One request, and its answer by way of the call descriptor. */
static void request(struct guest *g, unsigned int i)
{
	const uint64_t at = 0x10000 + (i % 64) * 0x1000, one = 1;
	const struct iol_driver_seg seg = { GPA + at, 512, true };
	uintptr_t cookie = 0;
	uint32_t len = 0;
	int rc;

	memset(g->mem + at, 0, 512);
	assert_int_equal(iol_driver_add(g->driver, &seg, 1, i), 0);
	if (iol_driver_publish(g->driver))
		assert_int_equal(write(g->kick, &one, sizeof(one)), sizeof(one));
	while (!(rc = iol_driver_used(g->driver, &cookie, &len))) {
		struct pollfd p = { .fd = g->call, .events = POLLIN };
		uint64_t n;

		if (iol_driver_arm(g->driver))
			continue;
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		assert_int_equal(read(g->call, &n, sizeof(n)), sizeof(n));
	}
	assert_int_equal(rc, 1);
	assert_int_equal(cookie, i);
	assert_int_equal(len, 512);
	assert_int_equal(g->mem[at], 0x42);
	assert_int_equal(g->mem[at + 511], 0x42);
}

static void requests(struct fixture *f, bool packed)
{
	const struct iol_server_spec spec = { .path = f->path, .fd = -1 };
	const struct vhost_vring_state q0 = { 0, 0 };
	struct vhost_user_single_region more = { .region = { GPA * 2, 0x4000, UADDR * 2, 0 } };
	struct iol_server *s = NULL;
	struct guest g;
	uint64_t queue = 0;
	unsigned int i;

	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	guest_open(&g, dial(f->path), packed);
	start(&g, packed);
	for (i = 0; i < 300; i++) {
		request(&g, i);
		/* What may happen under a running ring, between requests and with its data thread busy. */
		if (i % 7 == 1)
			share(&g);
		if (i % 7 == 3)
			assert_int_equal(ask(g.sock, VHOST_USER_ADD_MEM_REG, &more, sizeof(more),
					     g.memfd),
					 0);
		if (i % 7 == 4)
			assert_int_equal(
				ask(g.sock, VHOST_USER_REM_MEM_REG, &more, sizeof(more), -1), 0);
		if (i % 7 == 5)
			assert_int_equal(ask(g.sock, VHOST_USER_SET_VRING_CALL, &queue, 8, g.call),
					 0);
	}
	assert_int_equal(ask(g.sock, VHOST_USER_GET_VRING_BASE, &q0, 8, -1),
			 iol_driver_base(g.driver));
	/* From there it goes on. */
	start(&g, packed);
	request(&g, 1000);
	guest_close(&g);
	iol_server_destroy(&s);
}

static void split_requests(void **state)
{
	requests(*state, false);
}

static void packed_requests(void **state)
{
	requests(*state, true);
}

static void the_server_ends_under_a_running_guest(void **state)
{
	struct fixture *f = *state;
	const struct iol_server_spec spec = { .path = f->path, .fd = -1 };
	struct iol_wire_rx rx = { 0 };
	struct iol_server *s = NULL;
	struct guest g;

	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	guest_open(&g, dial(f->path), false);
	start(&g, false);
	request(&g, 1);
	iol_server_destroy(&s);
	assert_int_equal(iol_wire_wait(g.sock, &rx, WAIT_MS), -ECONNRESET);
	guest_close(&g);
}

static void the_configuration_changes_from_another_thread(void **state)
{
	struct fixture *f = *state;
	const struct iol_server_spec spec = { .path = f->path, .fd = -1 };
	struct iol_wire_rx rx = { 0 };
	struct iol_server *s = NULL;
	struct guest g;
	int pair[2];

	assert_int_equal(iol_device_config_changed(f->dev), -ENOTCONN);
	assert_int_equal(iol_server_new(f->dev, &spec, &s), 0);
	guest_open(&g, dial(f->path), false);
	start(&g, false);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(ask(g.sock, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, pair[0]), 0);
	close(pair[0]);
	g.back = pair[1];
	assert_int_equal(iol_device_config_changed(f->dev), 0);
	assert_int_equal(iol_wire_wait(g.back, &rx, WAIT_MS), 0);
	assert_int_equal(rx.msg.hdr.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	guest_close(&g);
	iol_server_destroy(&s);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(bad_paths),
		T(a_stale_socket_is_replaced),
		T(the_file_appears_when_it_listens),
		T(what_a_killed_one_leaves),
		T(one_of_many),
		T(the_longest_path),
		T(another_ones_socket_stays),
		T(one_front_end_at_a_time),
		T(a_client_comes_again),
		T(a_connected_descriptor),
		T(a_listening_descriptor),
		T(a_bad_message_ends_its_connection_only),
		T(half_a_message_holds_up_nobody),
		T(split_requests),
		T(packed_requests),
		T(the_server_ends_under_a_running_guest),
		T(the_configuration_changes_from_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
