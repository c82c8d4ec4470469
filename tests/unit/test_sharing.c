/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/sharing.h"

#include "base/error.h"
#include "peer.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEN 0x4000ul

static struct iol_mem_desc at(const void *map, uint64_t offset)
{
	return (struct iol_mem_desc){ GPA, LEN - offset, (uintptr_t)map + offset, offset };
}

static void mappings(void **state)
{
	int fd = memfd_create("guest", MFD_CLOEXEC), other = memfd_create("other", MFD_CLOEXEC);
	struct iol_mem_desc d;
	void *map;

	assert_int_equal(ftruncate(fd, LEN), 0);
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	d = at(map, 0);
	assert_int_equal(iol_check_shared(getpid(), &d, fd), -EINVAL);
	assert_non_null(strstr(iol_error(), "share=on"));
	d = at(map, LEN - 1);
	assert_int_equal(iol_check_shared(getpid(), &d, fd), -EINVAL);
	/* What we can't see, or what is not that file's, proves nothing. */
	assert_int_equal(iol_check_shared(getpid(), &d, other), 0);
	assert_int_equal(iol_check_shared(0, &d, fd), 0);
	assert_int_equal(iol_check_shared(INT32_MAX, &d, fd), 0);
	assert_int_equal(munmap(map, LEN), 0);
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	d = at(map, 0);
	assert_int_equal(iol_check_shared(getpid(), &d, fd), 0);
	d.uaddr = 0;
	assert_int_equal(iol_check_shared(getpid(), &d, fd), 0);
	munmap(map, LEN);
	close(fd);
	close(other);
}

static void peers(void **state)
{
	int pair[2], fd = memfd_create("x", MFD_CLOEXEC);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(iol_peer_pid(pair[0]), getpid());
	assert_int_equal(iol_peer_pid(fd), 0);
	close(pair[0]);
	close(pair[1]);
	close(fd);
}

static void a_session_refuses_private_memory(void **state)
{
	struct peer *p = *state;
	void *map = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, p->memfd, 0);
	struct vhost_user_single_region r = { .region = at(map, 0) };
	struct vhost_user_memory m = { .nregions = 1, .region[0] = at(map, 0) };

	peer_negotiate(p, V1 | PROTO);
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_MEM_TABLE, &m, 8 + 32, p->memfd), 0);
	assert_non_null(strstr(iol_error(), "privately"));
	assert_int_not_equal(peer_ask(p, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), p->memfd), 0);
	assert_non_null(strstr(iol_error(), "privately"));
	assert_int_equal(p->dev->mem->n, 0);
	munmap(map, MEM_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mappings),
		cmocka_unit_test(peers),
		cmocka_unit_test_setup_teardown(a_session_refuses_private_memory, peer_setup,
						peer_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
