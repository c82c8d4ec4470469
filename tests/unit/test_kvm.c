/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine of KVM's where the kernel is a model that can lack things and fail, and that counts what it is asked. The real one is
 * used by tests/lab/test_vmm_glue.py. ioctl() is taken over by the linker (--wrap).
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>
#include <iolane/vmm.h>

#define PAGE    4096u
#define PAGES   300u /* of a slot; not whole words */
#define SLOTS   8u
#define ROUTES  100u
#define PINS    40u
#define IRQFDS  128u
#define MSI     0xfee00000u
#define THREADS 4u
#define TURNS   200u

struct model_slot {
	struct kvm_userspace_memory_region is;
	uint64_t dirty[PAGES / 64 + 1];
};

static struct model {
	/* How it behaves. */
	unsigned int lacks; /* the capability that it has not got */
	bool by_hand;       /* it can forget what it is told to only */
	unsigned int fail_at;
	/* What it has, and saw. */
	unsigned int calls, tables;
	bool manual, failed;
	struct model_slot slots[SLOTS];
	struct kvm_irq_routing_entry routes[ROUTES];
	unsigned int num_routes, num_irqfds;
	struct kvm_irqfd irqfds[IRQFDS];
} model;

static const struct iol_vm_ops *const ops = &iol_kvm_vm_ops;

int __wrap_ioctl(int fd, unsigned long request, ...);

static int fails(int err)
{
	errno = err;
	return -1;
}

static int has(unsigned long cap)
{
	if (cap == model.lacks)
		return 0;
	switch (cap) {
	case KVM_CAP_NR_MEMSLOTS:
		return SLOTS;
	case KVM_CAP_IRQ_ROUTING:
		return ROUTES;
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return model.by_hand ? 3 : 0;
	default:
		return 1;
	}
}

static int set_slot(const struct kvm_userspace_memory_region *r)
{
	struct model_slot *s = &model.slots[r->slot];
	uint64_t end = r->guest_phys_addr + r->memory_size;

	assert_true(r->slot < SLOTS);
	if (!r->memory_size) {
		assert_true(s->is.memory_size);
		memset(s, 0, sizeof(*s));
		return 0;
	}
	for (unsigned int i = 0; i < SLOTS; i++) {
		const struct kvm_userspace_memory_region *o = &model.slots[i].is;

		if (i != r->slot && o->guest_phys_addr < end &&
		    r->guest_phys_addr < o->guest_phys_addr + o->memory_size)
			return fails(EEXIST);
	}
	/* Of a slot that is there only flags change. */
	assert_true(!s->is.memory_size || (s->is.memory_size == r->memory_size &&
					   s->is.guest_phys_addr == r->guest_phys_addr));
	if (!(r->flags & KVM_MEM_LOG_DIRTY_PAGES))
		memset(s->dirty, 0, sizeof(s->dirty));
	s->is = *r;
	return 0;
}

static int get_dirty(const struct kvm_dirty_log *log)
{
	struct model_slot *s = &model.slots[log->slot];

	if (!(s->is.flags & KVM_MEM_LOG_DIRTY_PAGES))
		return fails(ENOENT);
	memcpy(log->dirty_bitmap, s->dirty, (s->is.memory_size / PAGE + 63) / 64 * 8);
	if (!model.manual)
		memset(s->dirty, 0, sizeof(s->dirty));
	return 0;
}

static int clear_dirty(const struct kvm_clear_dirty_log *log)
{
	struct model_slot *s = &model.slots[log->slot];
	const uint64_t *bits = log->dirty_bitmap;
	uint64_t pages = s->is.memory_size / PAGE;

	assert_true(model.manual && s->is.flags & KVM_MEM_LOG_DIRTY_PAGES);
	assert_true(log->first_page % 64 == 0 && log->first_page + log->num_pages <= pages);
	assert_true(log->num_pages % 64 == 0 || log->first_page + log->num_pages == pages);
	for (uint64_t i = 0; i < (log->num_pages + 63) / 64; i++)
		s->dirty[log->first_page / 64 + i] &= ~bits[i];
	return 0;
}

static int set_routes(const struct kvm_irq_routing *table)
{
	model.tables++;
	if (table->nr > ROUTES)
		return fails(EINVAL);
	for (uint32_t i = 0; i < table->nr; i++)
		if (table->entries[i].type == KVM_IRQ_ROUTING_MSI &&
		    table->entries[i].u.msi.address_hi & 0xff)
			return fails(EINVAL);
	memcpy(model.routes, table->entries, table->nr * sizeof(table->entries[0]));
	model.num_routes = table->nr;
	return 0;
}

static int set_irqfd(const struct kvm_irqfd *irqfd)
{
	unsigned int at = 0;

	while (at < model.num_irqfds && model.irqfds[at].fd != irqfd->fd)
		at++;
	if (irqfd->flags & KVM_IRQFD_FLAG_DEASSIGN) {
		assert_true(at < model.num_irqfds && model.irqfds[at].gsi == irqfd->gsi);
		model.irqfds[at] = model.irqfds[--model.num_irqfds];
		return 0;
	}
	if (at < model.num_irqfds)
		return fails(EBUSY);
	assert_true(at < IRQFDS);
	model.irqfds[model.num_irqfds++] = *irqfd;
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == KVM_CHECK_EXTENSION)
		return has((unsigned long)arg);
	if (++model.calls == model.fail_at) {
		model.failed = true;
		return fails(EDOM);
	}
	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		return set_slot(arg);
	case KVM_ENABLE_CAP:
		model.manual = true;
		return 0;
	case KVM_GET_DIRTY_LOG:
		return get_dirty(arg);
	case KVM_CLEAR_DIRTY_LOG:
		return clear_dirty(arg);
	case KVM_SET_GSI_ROUTING:
		return set_routes(arg);
	case KVM_IRQFD:
		return set_irqfd(arg);
	default:
		fail_msg("no such request: 0x%lx", request);
		return -1;
	}
}

/* The guest writes to a page. */
static void writes(uint64_t gpa)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		struct model_slot *s = &model.slots[i];
		uint64_t page = (gpa - s->is.guest_phys_addr) / PAGE;

		if (gpa >= s->is.guest_phys_addr && page < s->is.memory_size / PAGE &&
		    s->is.flags & KVM_MEM_LOG_DIRTY_PAGES)
			s->dirty[page / 64] |= 1ull << page % 64;
	}
}

static unsigned int slots_in_use(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < SLOTS; i++)
		n += !!model.slots[i].is.memory_size;
	return n;
}

struct rig {
	int fd;
	struct iol_kvm *kvm;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	memset(&model, 0, sizeof(model));
	r->fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(iol_kvm_new(r->fd, &r->kvm), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	iol_kvm_destroy(&r->kvm);
	close(r->fd);
	free(r);
	return 0;
}

static void what_is_missing_is_named(void **state)
{
	static const struct {
		unsigned int cap;
		const char *name;
	} rows[] = {
		{ KVM_CAP_USER_MEMORY, "memory slots" },
		{ KVM_CAP_IRQ_ROUTING, "interrupt routes" },
		{ KVM_CAP_SIGNAL_MSI, "message-signalled" },
		{ KVM_CAP_IRQFD, "irqfds" },
		{ KVM_CAP_IRQFD_RESAMPLE, "level-triggered" },
		{ KVM_CAP_IOEVENTFD, "ioeventfds" },
		{ KVM_CAP_READONLY_MEM, "read-only" },
	};
	struct rig *r = *state;
	struct iol_kvm *kvm;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		model.lacks = rows[i].cap;
		assert_int_equal(iol_kvm_new(r->fd, &kvm), -ENOTSUP);
		assert_non_null(strstr(iol_error(), rows[i].name));
	}
	/* A machine without interrupt controllers. */
	model.lacks = 0;
	model.fail_at = model.calls + 1;
	assert_int_equal(iol_kvm_new(r->fd, &kvm), -ENOTSUP);
	assert_non_null(strstr(iol_error(), "KVM_CREATE_IRQCHIP"));
}

/* What the kernel delivers when @fd is signalled; -1: nothing. */
static int64_t delivers(int fd)
{
	for (unsigned int i = 0; i < model.num_irqfds; i++) {
		if ((int)model.irqfds[i].fd != fd)
			continue;
		for (unsigned int j = PINS; j < model.num_routes; j++)
			if (model.routes[j].gsi == model.irqfds[i].gsi)
				return model.routes[j].u.msi.data;
	}
	return -1;
}

static void pins_are_there_from_the_start(void **state)
{
	assert_int_equal(model.num_routes, PINS);
	for (unsigned int i = 0; i < PINS; i++) {
		const struct kvm_irq_routing_entry *e = &model.routes[i];
		unsigned int gsi = i < 24 ? i : i - 24;

		assert_int_equal(e->type, KVM_IRQ_ROUTING_IRQCHIP);
		assert_int_equal(e->gsi, gsi);
		assert_int_equal(e->u.irqchip.irqchip, i < 24    ? KVM_IRQCHIP_IOAPIC
						       : gsi < 8 ? KVM_IRQCHIP_PIC_MASTER
								 : KVM_IRQCHIP_PIC_SLAVE);
		assert_int_equal(e->u.irqchip.pin, i < 24 ? gsi : gsi % 8);
	}
	for (unsigned int slot = 0; slot < 32; slot++)
		for (unsigned int pin = 0; pin < 4; pin++)
			assert_true(iol_kvm_pin(slot, pin) >= 16 && iol_kvm_pin(slot, pin) < 24);
}

/* The kernel is handed the table when it has to be, and only then. */
static void messages_change_in_place(void **state)
{
	struct rig *r = *state;
	struct iol_msi_message msg = { .addr = MSI, .data = 1 };
	uint32_t a, b, again;

	model.tables = 0;
	assert_int_equal(ops->msi_add(r->kvm, 100, &msg, &a), 0);
	msg.data = 2;
	assert_int_equal(ops->msi_add(r->kvm, 101, &msg, &b), 0);
	assert_int_equal(model.tables, 2);
	assert_int_equal(delivers(100), 1);
	assert_int_equal(delivers(101), 2);
	assert_int_equal(ops->msi_set(r->kvm, b, &msg), 0);
	assert_int_equal(model.tables, 2);
	msg.data = 3;
	assert_int_equal(ops->msi_set(r->kvm, b, &msg), 0);
	assert_int_equal(model.tables, 3);
	assert_int_equal(delivers(101), 3);

	/* A vector that is taken down and comes back as it was. */
	ops->msi_remove(r->kvm, b);
	ops->msi_remove(r->kvm, b);
	assert_int_equal(model.num_irqfds, 1);
	assert_int_equal(ops->msi_add(r->kvm, 101, &msg, &again), 0);
	assert_int_equal(model.tables, 3);
	assert_int_equal(delivers(101), 3);
	/* And while others change. */
	ops->msi_remove(r->kvm, again);
	msg.data = 5;
	assert_int_equal(ops->msi_set(r->kvm, a, &msg), 0);
	assert_int_equal(model.tables, 4);
	msg.data = 3;
	assert_int_equal(ops->msi_add(r->kvm, 101, &msg, &again), 0);
	assert_int_equal(model.tables, 4);
	assert_int_equal(delivers(101), 3);
	ops->msi_remove(r->kvm, a);
	ops->msi_remove(r->kvm, again);
	msg.data = 4;
	assert_int_equal(ops->msi_add(r->kvm, 102, &msg, &a), 0);
	assert_int_equal(delivers(102), 4);
	assert_int_equal(ops->msi_set(r->kvm, IOL_NO_ROUTE, &msg), -EINVAL);
	assert_int_equal(ops->msi_set(r->kvm, again, &msg), -EINVAL);
	ops->msi_remove(r->kvm, a);
}

/* A guest may write any address; one that KVM refuses is nobody else's trouble. */
static void a_refused_message_is_forgotten(void **state)
{
	struct rig *r = *state;
	struct iol_msi_message good = { .addr = MSI, .data = 1 }, bad = { .addr = UINT64_MAX };
	uint32_t a, b;

	assert_int_equal(ops->msi_add(r->kvm, 100, &good, &a), 0);
	assert_int_equal(ops->msi_set(r->kvm, a, &bad), -EINVAL);
	assert_int_equal(delivers(100), 1);
	assert_int_equal(ops->msi_add(r->kvm, 101, &bad, &b), -EINVAL);
	assert_int_equal(model.num_irqfds, 1);
	good.data = 2;
	assert_int_equal(ops->msi_add(r->kvm, 101, &good, &b), 0);
	assert_int_equal(delivers(100), 1);
	assert_int_equal(delivers(101), 2);
	/* One that can't be connected leaves its place to the next. */
	assert_int_equal(ops->msi_add(r->kvm, 101, &good, &b), -EBUSY);
	for (int fd = 102; fd < 100 + (int)(ROUTES - PINS); fd++)
		assert_int_equal(ops->msi_add(r->kvm, fd, &good, &b), 0);
	assert_int_equal(ops->msi_add(r->kvm, 999, &good, &b), -ENOSPC);
	assert_int_equal(delivers(100), 1);
	ops->msi_remove(r->kvm, a);
	assert_int_equal(ops->msi_add(r->kvm, 999, &good, &b), 0);
	assert_int_equal(delivers(999), 2);
}

static void slots_are_used_again(void **state)
{
	struct rig *r = *state;
	char *host = aligned_alloc(PAGE, PAGE);

	for (int turn = 0; turn < 3; turn++) {
		for (unsigned int i = 0; i < SLOTS; i++)
			assert_int_equal(ops->map(r->kvm, i * PAGE, PAGE, host, i % 2), 0);
		assert_int_equal(ops->map(r->kvm, SLOTS * PAGE, PAGE, host, false), -ENOSPC);
		ops->unmap(r->kvm, 3 * PAGE, PAGE);
		ops->unmap(r->kvm, 3 * PAGE, PAGE);
		assert_int_equal(ops->map(r->kvm, 2 * PAGE, PAGE, host, false), -EEXIST);
		assert_int_equal(ops->map(r->kvm, 3 * PAGE, PAGE, host, true), 0);
		assert_int_equal(slots_in_use(), SLOTS);
		for (unsigned int i = 0; i < SLOTS; i++)
			ops->unmap(r->kvm, i * PAGE, PAGE);
		assert_int_equal(slots_in_use(), 0);
	}
	assert_int_equal(ops->map(r->kvm, 0, 0, host, false), -EINVAL);
	free(host);
}

static struct iol_guest_memory *two_regions(struct rig *r)
{
	const struct iol_guest_memory_spec spec = { .size = 2 * PAGES * PAGE,
						    .below_4g = PAGES * PAGE };
	struct iol_guest_memory *mem;

	assert_int_equal(iol_guest_memory_new(&spec, &mem), 0);
	assert_int_equal(iol_guest_memory_attach(mem, &iol_kvm_memory, r->kvm), 0);
	return mem;
}

static bool told(struct iol_guest_memory *mem, uint64_t first, uint64_t pages, uint64_t page)
{
	uint64_t bits[2 * PAGES / 64 + 1] = { 0 };

	assert_int_equal(iol_guest_memory_dirty_read(mem, first * PAGE, pages * PAGE, bits), 0);
	return bits[(page - first) / 64] >> (page - first) % 64 & 1;
}

/* Each of @calls fails once while tracking starts, and then nothing is kept; but for the one that it can do without. */
static void starts_or_not(struct iol_guest_memory *mem, unsigned int calls)
{
	unsigned int n = 0;
	int rc;

	do {
		model.failed = false;
		model.fail_at = model.calls + ++n;
		rc = iol_guest_memory_dirty_start(mem);
		model.fail_at = 0;
		for (unsigned int i = 0; i < SLOTS && rc; i++)
			assert_false(model.slots[i].is.flags & KVM_MEM_LOG_DIRTY_PAGES);
		assert_int_equal(rc, model.failed && !(n == 1 && model.by_hand) ? -EDOM : 0);
		if (!rc)
			assert_int_equal(iol_guest_memory_dirty_stop(mem), 0);
	} while (model.failed);
	/* The calls of a start that works, and then the first of what stops it. */
	assert_int_equal(n, calls + 1);
}

/* With a kernel that forgets what it tells, and with one that forgets what it is told to. */
static void nothing_written_is_lost(void **state)
{
	struct rig *r = *state;
	struct iol_guest_memory *mem = two_regions(r);
	char *bar = aligned_alloc(PAGE, PAGE);

	assert_int_equal(ops->map(r->kvm, 0xd0000000, PAGE, bar, false), 0);
	for (int by_hand = 0; by_hand < 2; by_hand++) {
		model.by_hand = by_hand;
		starts_or_not(mem, 2u + (unsigned int)by_hand);
		assert_int_equal(iol_guest_memory_dirty_start(mem), 0);
		assert_int_equal(model.manual, by_hand);
		/* BARs are not memory. */
		ops->unmap(r->kvm, 0xd0000000, PAGE);
		assert_int_equal(ops->map(r->kvm, 0xd0000000, PAGE, bar, false), 0);
		for (unsigned int i = 0; i < SLOTS; i++)
			assert_int_equal(model.slots[i].is.flags & KVM_MEM_LOG_DIRTY_PAGES,
					 model.slots[i].is.memory_size > PAGE);
		for (uint64_t page = 0; page < PAGES; page += 7)
			writes(page * PAGE);
		for (uint64_t page = 0; page < PAGES; page++) {
			assert_int_equal(told(mem, page, 1, page), page % 7 == 0);
			assert_false(told(mem, page, 1, page));
		}
		/* However it fails. */
		writes((PAGES - 1) * PAGE);
		writes(70 * PAGE);
		for (int n = 1; n <= 1 + by_hand; n++) {
			uint64_t bits[PAGES / 64 + 1] = { 0 };

			model.fail_at = model.calls + (unsigned int)n;
			assert_int_equal(iol_guest_memory_dirty_read(mem, 0, PAGES * PAGE, bits),
					 -EDOM);
			model.fail_at = 0;
		}
		assert_true(told(mem, 60, 100, 70));
		assert_true(told(mem, 0, PAGES, PAGES - 1));
		assert_int_equal(iol_guest_memory_dirty_stop(mem), 0);
		assert_int_equal(iol_guest_memory_dirty_start(mem), 0);
		assert_false(told(mem, 0, PAGES, 70));
		assert_int_equal(iol_guest_memory_dirty_stop(mem), 0);
	}
	iol_guest_memory_detach(mem, r->kvm);
	iol_guest_memory_destroy(&mem);
	ops->unmap(r->kvm, 0xd0000000, PAGE);
	assert_int_equal(slots_in_use(), 0);
	free(bar);
}

struct worker {
	struct rig *rig;
	unsigned int number;
	char *host;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct iol_kvm *kvm = w->rig->kvm;
	uint64_t gpa = (w->number + 1ull) * 0x10000;
	uint32_t id;

	for (unsigned int i = 0; i < TURNS; i++) {
		struct iol_msi_message msg = { .addr = MSI, .data = w->number };

		if (ops->msi_add(kvm, (int)w->number, &msg, &id))
			return w;
		msg.data = i;
		if (ops->msi_set(kvm, id, &msg) || ops->map(kvm, gpa, PAGE, w->host, false))
			return w;
		ops->unmap(kvm, gpa, PAGE);
		ops->msi_remove(kvm, id);
	}
	return NULL;
}

/* The model has no lock of its own. */
static void several_threads_may_use_it(void **state)
{
	struct rig *r = *state;
	char *host = aligned_alloc(PAGE, PAGE);
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	void *failed;

	for (unsigned int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .rig = r, .number = i, .host = host };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(slots_in_use(), 0);
	assert_int_equal(model.num_irqfds, 0);
	free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_missing_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(pins_are_there_from_the_start, setup, teardown),
		cmocka_unit_test_setup_teardown(messages_change_in_place, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refused_message_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(slots_are_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_written_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(several_threads_may_use_it, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
