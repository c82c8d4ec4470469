/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end at its worst, once: between a guest's disk and the real back end somebody passes messages on, and does
 * wrong by one of the answers. Wherever that is, making the device either fails cleanly, or the guest's disk works in the end.
 */
#include "tests/functional/virtio_box.h"

#include "base/clock.h"
#include "base/own.h"
#include "tests/unit/open_fds.h"
#include "vmm-glue/virtio.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NEVER 1000

/* Those from MUTE on are what it is from then on. */
enum wrong { CLOSE, HALF, ANOTHER, SHORT, REFUSE, ONES, WRONGS, SILENCE, MUTE, SLOW, ASKING, END };

/* Of an answer that is waited for, in tests that wait for many. */
#define PATIENCE 150

struct between {
	char path[128];
	const char *real;
	int listen, stop;
	pthread_t thread;
	unsigned int at; /* the answer that goes wrong, counted down; atomic */
	enum wrong how;
	int channel; /* for requests of the back end's */
	bool blocks; /* it takes O_NONBLOCK away from what it shares with the front end */
};

static int socket_at(const char *path, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(sa->sun_path, sizeof(sa->sun_path), "%s", path);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* Ask for nothing, and for no answer, as long as somebody listens. */
static bool ask(const struct between *b)
{
	struct pollfd stop = { b->stop, POLLIN, 0 };

	while (!poll(&stop, 1, 0) &&
	       !iol_wire_send(b->channel, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, NULL, 0, NULL, 0,
			      RIG_WAIT))
		;
	return false;
}

/* Whether the connection goes on. */
static bool pass(int to, struct iol_wire_rx *rx)
{
	struct iol_msg *m = &rx->msg;
	int rc = iol_wire_send(to, m->hdr.request, m->hdr.flags & ~VHOST_USER_VERSION_MASK,
			       &m->payload, m->hdr.size, m->fds, m->nfds, RIG_WAIT);

	iol_wire_next(rx);
	return rc == 0;
}

static bool pass_request(struct between *b, int to, struct iol_wire_rx *rx)
{
	if (rx->msg.hdr.request == VHOST_USER_SET_BACKEND_REQ_FD && rx->msg.nfds == 1) {
		iol_close(&b->channel);
		b->channel = fcntl(rx->msg.fds[0], F_DUPFD_CLOEXEC, 0);
	}
	if (b->blocks && (rx->msg.hdr.request == VHOST_USER_SET_VRING_ERR ||
			  rx->msg.hdr.request == VHOST_USER_SET_VRING_CALL))
		fcntl(rx->msg.fds[0], F_SETFL, 0);
	return pass(to, rx);
}

static bool pass_answer(struct between *b, int to, struct iol_wire_rx *rx)
{
	struct iol_msg *m = &rx->msg;
	bool stays = b->how >= MUTE && !__atomic_load_n(&b->at, __ATOMIC_RELAXED);

	if (!stays && __atomic_fetch_sub(&b->at, 1, __ATOMIC_RELAXED) != 0)
		return pass(to, rx);
	switch (b->how) {
	case CLOSE:
		return false;
	case SILENCE:
	case MUTE:
		iol_wire_next(rx);
		return true;
	case SLOW:
		poll(NULL, 0, PATIENCE / 3);
		return pass(to, rx);
	case ASKING:
		iol_wire_next(rx);
		return b->channel < 0 || ask(b);
	case HALF:
		return send(to, &m->hdr, 7, MSG_NOSIGNAL) < 0;
	case ANOTHER:
		m->hdr.request++;
		break;
	case SHORT:
		m->hdr.size -= m->hdr.size > 3 ? 3 : 0;
		break;
	case REFUSE:
		if (m->hdr.size == sizeof(uint64_t))
			m->payload.u64 = 1;
		else
			m->hdr.size = 0;
		break;
	default:
		memset(&m->payload, 0xff, m->hdr.size);
		break;
	}
	return pass(to, rx);
}

static void relay(struct between *b, int front, int back)
{
	struct iol_wire_rx from_front = { 0 }, from_back = { 0 };
	struct pollfd pfd[] = { { front, POLLIN, 0 }, { back, POLLIN, 0 }, { b->stop, POLLIN, 0 } };
	bool on = true;

	while (on && poll(pfd, 3, -1) > 0 && !pfd[2].revents) {
		if (pfd[0].revents)
			on = !iol_wire_wait(front, &from_front, RIG_WAIT) &&
			     pass_request(b, back, &from_front);
		else if (pfd[1].revents)
			on = !iol_wire_wait(back, &from_back, RIG_WAIT) &&
			     pass_answer(b, front, &from_back);
	}
	iol_msg_close(&from_front.msg);
	iol_msg_close(&from_back.msg);
	iol_close(&b->channel);
}

static void *run(void *arg)
{
	struct between *b = arg;
	struct pollfd pfd[] = { { b->listen, POLLIN, 0 }, { b->stop, POLLIN, 0 } };
	struct sockaddr_un sa;

	while (poll(pfd, 2, -1) > 0 && !pfd[1].revents) {
		int front = accept4(b->listen, NULL, NULL, SOCK_CLOEXEC);
		int back = socket_at(b->real, &sa);

		if (front >= 0 && !connect(back, (struct sockaddr *)&sa, sizeof(sa)))
			relay(b, front, back);
		iol_close(&front);
		iol_close(&back);
	}
	return NULL;
}

static void begin(struct between *b, struct box *box)
{
	struct sockaddr_un sa;

	snprintf(b->path, sizeof(b->path), "%s/between", box->r->dir);
	b->real = box->r->socket;
	b->at = NEVER;
	b->channel = -1;
	b->listen = socket_at(b->path, &sa);
	b->stop = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(bind(b->listen, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(b->listen, 8), 0);
	assert_int_equal(pthread_create(&b->thread, NULL, run, b), 0);
	box->path = b->path;
}

static void end(struct between *b)
{
	assert_int_equal(eventfd_write(b->stop, 1), 0);
	pthread_join(b->thread, NULL);
	iol_close(&b->listen);
	iol_close(&b->stop);
	unlink(b->path);
}

static unsigned int left(const struct between *b)
{
	return __atomic_load_n(&b->at, __ATOMIC_RELAXED);
}

/* The back end, and who is between, are of this process, too, and may still be closing. */
static void until_closed(unsigned int fds)
{
	uint64_t end = iol_now() + RIG_WAIT * IOL_NS_PER_MS;

	while (open_fds() > fds) {
		assert_true(iol_now() < end);
		poll(NULL, 0, 1);
	}
}

/* What was refused the driver may try once more, after a reset. */
static void go(struct box *box)
{
	box_go(box, BOX_ALL);
	box_until(box, box_connected);
	if (vguest_status(&box->g) & VIRTIO_CONFIG_S_NEEDS_RESET)
		box_go(box, BOX_ALL);
	box_until(box, box_connected);
	assert_int_equal(vguest_status(&box->g), 15);
	rig_works(box->r);
}

static void live(struct box *box)
{
	vguest_probe(&box->g);
	go(box);
	vguest_reset(&box->g);
	go(box);
}

static void one_answer_is_wrong(void **state)
{
	struct rig_spec spec = { 0 };
	struct box *box = box_new(&spec);
	struct between b = { 0 };
	unsigned int n, failed, lived, fds;

	begin(&b, box);
	fds = open_fds();
	for (b.how = 0; b.how < WRONGS; b.how++) {
		failed = lived = 0;
		for (n = 0; n < NEVER / 2; n++) {
			__atomic_store_n(&b.at, n, __ATOMIC_RELAXED);
			if (box_function(box) < 0) {
				until_closed(fds);
				assert_true(*iol_error());
				assert_null(box->g.fn);
				failed++;
				continue;
			}
			live(box);
			box_drop(box);
			lived++;
			/* The guest's memory is used up by rings: take it from its start again. */
			iol_guest_queue_destroy(&box->r->queue[0]);
			until_closed(fds);
			iol_guest_memory_destroy(&box->r->mem);
			rig_make_memory(box->r);
			if (left(&b) <= n)
				break;
		}
		assert_true(failed > 5);
		assert_true(lived > 5);
	}
	end(&b);
	box_down(&box);
}

/* An answer stays away: the driver's access is over in bounded time, and later all is well. */
static void an_answer_stays_away(void **state)
{
	struct rig_spec spec = { 0 };
	struct box *box = box_new(&spec);
	struct between b = { .how = SILENCE };
	unsigned int i;
	int patience;

	begin(&b, box);
	assert_int_equal(box_function(box), 0);
	vguest_probe(&box->g);
	patience = virtio_of(box->g.fn)->fe->timeout_ms;
	for (i = 0; i < 4; i++) {
		virtio_of(box->g.fn)->fe->timeout_ms = 100;
		virtio_of(box->g.fn)->fe->paid_at = 0;
		__atomic_store_n(&b.at, 2 * i, __ATOMIC_RELAXED);
		box_go(box, BOX_ALL);
		assert_true(box_alone(box));
		virtio_of(box->g.fn)->fe->timeout_ms = patience;
		box_until(box, box_connected);
		assert_int_equal(vguest_status(&box->g), 15);
		rig_works(box->r);
		vguest_reset(&box->g);
	}
	box_drop(box);
	end(&b);
	box_down(&box);
}

/* It answers nothing any more, or not soon, or asks all the time: once it took a guest's time, it gets next to none. */
static void one_that_hangs_costs_little(void **state)
{
	struct rig_spec spec = { 0 };
	struct box *box = box_new(&spec);
	struct between b = { 0 };
	int patience;

	begin(&b, box);
	box_hear();
	for (b.how = MUTE; b.how < END; b.how++) {
		assert_int_equal(box_function(box), 0);
		vguest_probe(&box->g);
		patience = virtio_of(box->g.fn)->fe->timeout_ms;
		virtio_of(box->g.fn)->fe->timeout_ms = PATIENCE;
		__atomic_store_n(&b.at, 0, __ATOMIC_RELAXED);
		box_go(box, BOX_ALL);
		assert_true(box_alone(box));
		box_said[0] = '\0';
		box_until(box, box_complained);
		if (!strstr(box_said, "what was left"))
			fail_msg("%s", box_said);
		assert_true(box_alone(box));
		__atomic_store_n(&b.at, NEVER, __ATOMIC_RELAXED);
		virtio_of(box->g.fn)->fe->timeout_ms = patience;
		box_until(box, box_connected);
		assert_int_equal(vguest_status(&box->g), 15);
		rig_works(box->r);
		box_drop(box);
	}
	iol_log_set(NULL, NULL, IOL_LOG_WARNING);
	end(&b);
	box_down(&box);
}

static void eventfds_that_block(void **state)
{
	struct rig_spec spec = { 0 };
	struct box *box = box_new(&spec);
	struct between b = { .blocks = true };

	begin(&b, box);
	assert_int_equal(box_function(box), 0);
	vguest_probe(&box->g);
	box_go(box, BOX_ALL);
	assert_int_equal(iol_pci_function_poll(box->g.fn), 0);
	rig_works(box->r);
	assert_int_equal(iol_pci_function_reset(box->g.fn), 0);
	vguest_probe(&box->g);
	box_go(box, BOX_ALL);
	rig_works(box->r);
	box_drop(box);
	end(&b);
	box_down(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_answer_is_wrong),
		cmocka_unit_test(an_answer_stays_away),
		cmocka_unit_test(one_that_hangs_costs_little),
		cmocka_unit_test(eventfds_that_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
