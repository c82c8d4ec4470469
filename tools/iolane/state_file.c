/* SPDX-License-Identifier: BSD-3-Clause */
/* The declared state as YAML: its shape is libcyaml's to check, its values are read here. */
#include "state_file.h"

#include "base/error.h"
#include "base/own.h"
#include "sriov/pf.h"

#include <ctype.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX (16u << 20)

/* Every value is text at first, so that each is refused in one way: with its line and what was expected. */
struct file_owner {
	char *user, *group;
};

struct file_vf {
	char *index, *driver, *label, *queues, *interrupts;
	char *mac, *vlan, *qos, *vlan_proto, *spoofchk, *trust, *link, *rate, *rss_query;
	struct file_owner *owner;
};

struct file_pf {
	char *address, *name, *path, *driver, *serial, *vfs, *eswitch;
	struct file_vf *vf;
	unsigned int vf_count;
};

struct file {
	struct file_pf *pfs;
	unsigned int pfs_count;
};

#define TEXT(type, field)                                                                          \
	CYAML_FIELD_STRING_PTR(#field, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct type,      \
			       field, 0, CYAML_UNLIMITED)

static const cyaml_schema_field_t owner_fields[] = {
	TEXT(file_owner, user),
	TEXT(file_owner, group),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t vf_fields[] = {
	TEXT(file_vf, index),
	TEXT(file_vf, driver),
	CYAML_FIELD_MAPPING_PTR("owner", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_vf,
				owner, owner_fields),
	TEXT(file_vf, label),
	TEXT(file_vf, mac),
	TEXT(file_vf, vlan),
	TEXT(file_vf, qos),
	TEXT(file_vf, vlan_proto),
	TEXT(file_vf, spoofchk),
	TEXT(file_vf, trust),
	TEXT(file_vf, link),
	TEXT(file_vf, rate),
	TEXT(file_vf, rss_query),
	TEXT(file_vf, queues),
	TEXT(file_vf, interrupts),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t vf_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_vf, vf_fields),
};

static const cyaml_schema_field_t pf_fields[] = {
	TEXT(file_pf, address),
	TEXT(file_pf, name),
	TEXT(file_pf, path),
	TEXT(file_pf, driver),
	TEXT(file_pf, serial),
	TEXT(file_pf, vfs),
	TEXT(file_pf, eswitch),
	CYAML_FIELD_SEQUENCE("vf", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_pf, vf,
			     &vf_schema, 0, CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t pf_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_pf, pf_fields),
};

static const cyaml_schema_field_t file_fields[] = {
	CYAML_FIELD_SEQUENCE("pfs", CYAML_FLAG_POINTER, struct file, pfs, &pf_schema, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t file_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, file_fields),
};

/* A file on its way, and where in it we are. */
struct reader {
	const struct iol_host *host;
	const char *name;
	char *text;
	size_t len;
	unsigned int pf;
	int vf;
	char said[256], field[32];
	unsigned int line;
};

/* ---- what libcyaml says ---- */

__attribute__((format(printf, 3, 0))) static void note(cyaml_log_t level, void *ctx,
						       const char *fmt, va_list args)
{
	struct reader *r = ctx;
	char line[256];
	unsigned int row;
	char *at;

	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	/* What is wrong comes first, then where, from the inside out. */
	at = strstr(line, "(line: ");
	if (!at) {
		if (!r->said[0] && strncmp(line, "Load: Backtrace", 15) != 0)
			snprintf(r->said, sizeof(r->said), "%s",
				 !strncmp(line, "Load: ", 6) ? line + 6 : line);
		return;
	}
	if (!r->line && sscanf(at, "(line: %u", &row) == 1)
		r->line = row;
	at = strstr(line, "in mapping field '");
	if (at && !r->field[0])
		sscanf(at, "in mapping field '%31[^']", r->field);
}

/* The keys of the mapping that a field holds. */
static const cyaml_schema_field_t *fields_of(const char *field)
{
	if (!*field)
		return file_fields;
	if (!strcmp(field, "pfs"))
		return pf_fields;
	return !strcmp(field, "vf") ? vf_fields : owner_fields;
}

/* libcyaml tells the line before a key that it does not know. */
static unsigned int line_of_key(const struct reader *r, const char *key)
{
	const char *at = r->text, *end = r->text + r->len;
	unsigned int line = 1;

	for (; at < end; line++) {
		const char *next = memchr(at, '\n', (size_t)(end - at));
		const char *stop = next ? next : end;
		const char *found = memmem(at, (size_t)(stop - at), key, strlen(key));

		if (line >= r->line && found)
			return line;
		at = stop + 1;
	}
	return r->line;
}

static int refused(struct reader *r, cyaml_err_t err)
{
	static const char unknown[] = "Unexpected key: ";
	const cyaml_schema_field_t *f;
	char known[256] = "";
	size_t n = 0;

	if (!strncmp(r->said, unknown, sizeof(unknown) - 1)) {
		const char *key = r->said + sizeof(unknown) - 1;

		for (f = fields_of(r->field); f->key && n < sizeof(known); f++)
			n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "",
					      f->key);
		return iol_fail(EINVAL, "%s:%u: there is no field \"%s\" here: expected one of %s",
				r->name, line_of_key(r, key), key, known);
	}
	return iol_fail(EINVAL, "%s:%u: %s%s%s", r->name, r->line, r->field, *r->field ? ": " : "",
			r->said[0] ? r->said : cyaml_strerror(err));
}

/* The sentence that is set, with the place before it. */
static int wrong(const struct reader *r, const char *field)
{
	unsigned int line = state_line(r->text, r->len, r->pf, r->vf, field);

	return line ? iol_fail_more(-EINVAL, "%s:%u", r->name, line)
		    : iol_fail_more(-EINVAL, "%s", r->name);
}

/* ---- values ---- */

static int number(const struct reader *r, const char *field, const char *text, unsigned int max,
		  int *value)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || !isdigit((unsigned char)*text) || *end || n > max) {
		iol_fail(EINVAL, "\"%s\" is no value of %s: expected a number from 0 to %u", text,
			 field, max);
		return wrong(r, field);
	}
	*value = (int)n;
	return 0;
}

/* "3" or "0-2". */
static int range(const struct reader *r, const char *text, struct iol_want_vf *vf)
{
	unsigned int first, last;
	int n = 0;

	if (text && isdigit((unsigned char)*text)) {
		if (sscanf(text, "%5u-%5u%n", &first, &last, &n) == 2 && !text[n] &&
		    first <= last) {
			vf->first = first;
			vf->last = last;
			return 0;
		}
		if (sscanf(text, "%5u%n", &first, &n) == 1 && !text[n]) {
			vf->first = vf->last = first;
			return 0;
		}
	}
	iol_fail(EINVAL, "%s%s%s: expected the VFs' numbers, like index: 3 or index: 0-2",
		 text ? "\"" : "there is no index", text ? text : "",
		 text ? "\" is no value of index" : "");
	return wrong(r, "index");
}

static int setting(const struct reader *r, const char *field, const char *text,
		   enum iol_vf_setting which, struct iol_want_vf *vf)
{
	if (!text || !iol_vf_setting_parse(which, text, &vf->net))
		return 0;
	return wrong(r, field);
}

static int vlan(const struct reader *r, const struct file_vf *f, struct iol_want_vf *vf)
{
	if (!iol_vf_vlan_parse(f->vlan, f->qos, f->vlan_proto, &vf->net))
		return 0;
	return wrong(r, f->vlan ? "vlan" : f->qos ? "qos" : "vlan_proto");
}

static int name(const struct reader *r, const char *field, const char *text, char *to)
{
	if (!text)
		return 0;
	if (!*text || strlen(text) >= IOL_NAME_MAX || strpbrk(text, "/ \t\n")) {
		iol_fail(EINVAL,
			 "\"%s\" is no value of %s: expected a word of 1 to %d characters "
			 "without /",
			 text, field, IOL_NAME_MAX - 1);
		return wrong(r, field);
	}
	strcpy(to, text);
	return 0;
}

static int owner(const struct reader *r, const struct file_owner *f, struct iol_want_vf *vf)
{
	const struct passwd *user = NULL;
	const struct group *group = NULL;

	if (!f)
		return 0;
	if (f->user && !(user = getpwnam(f->user))) {
		iol_fail(EINVAL, "there is no user \"%s\"", f->user);
		return wrong(r, "owner");
	}
	if (f->group && !(group = getgrnam(f->group))) {
		iol_fail(EINVAL, "there is no group \"%s\"", f->group);
		return wrong(r, "owner");
	}
	snprintf(vf->owner, sizeof(vf->owner), "%u:%u:%s", user ? user->pw_uid : 0,
		 group  ? group->gr_gid
		 : user ? user->pw_gid
			: 0,
		 group ? "0660" : "0600");
	return 0;
}

static int read_vf(const struct reader *r, const struct file_vf *f, struct iol_want_vf *vf)
{
	int rc;

	vf->queues = -1;
	vf->interrupts = -1;
	rc = range(r, f->index, vf);
	if (!rc)
		rc = name(r, "driver", f->driver, vf->driver);
	if (!rc)
		rc = owner(r, f->owner, vf);
	if (!rc)
		rc = name(r, "label", f->label, vf->label);
	if (!rc)
		rc = setting(r, "mac", f->mac, IOL_VF_MAC, vf);
	if (!rc)
		rc = vlan(r, f, vf);
	if (!rc)
		rc = setting(r, "spoofchk", f->spoofchk, IOL_VF_SPOOFCHK, vf);
	if (!rc)
		rc = setting(r, "trust", f->trust, IOL_VF_TRUST, vf);
	if (!rc)
		rc = setting(r, "link", f->link, IOL_VF_LINK, vf);
	if (!rc)
		rc = setting(r, "rate", f->rate, IOL_VF_RATE, vf);
	if (!rc)
		rc = setting(r, "rss_query", f->rss_query, IOL_VF_RSS_QUERY, vf);
	if (!rc && f->queues)
		rc = number(r, "queues", f->queues, UINT16_MAX, &vf->queues);
	if (!rc && f->interrupts)
		rc = number(r, "interrupts", f->interrupts, UINT16_MAX, &vf->interrupts);
	return rc;
}

/* ---- PFs ---- */

static int find_pf(const struct reader *r, const struct file_pf *f, struct iol_pf *pf)
{
	int ways = !!f->address + !!f->name + !!f->path + (f->driver || f->serial), rc;
	const char *field = f->address ? "address" : f->name ? "name" : f->path ? "path" : "serial";

	if (ways != 1 || !f->driver != !f->serial) {
		iol_fail(EINVAL, "a PF is told by one of address, name, path, or driver and serial "
				 "together");
		return wrong(r, "");
	}
	if (f->serial)
		rc = iol_pf_find_serial(r->host, f->driver, f->serial, pf);
	else if (f->path)
		rc = iol_pf_find_path(r->host, f->path, pf);
	else
		rc = iol_pf_find(r->host, f->address ? f->address : f->name, pf);
	return rc ? wrong(r, field) : 0;
}

static int read_pf(struct reader *r, const struct file_pf *f, struct iol_want_pf *w)
{
	unsigned int i;
	int rc;

	r->vf = -1;
	w->vfs = -1;
	rc = find_pf(r, f, &w->pf);
	if (!rc && f->vfs)
		rc = number(r, "vfs", f->vfs, UINT16_MAX, &w->vfs);
	if (!rc && f->eswitch && strcmp(f->eswitch, "legacy") != 0 &&
	    strcmp(f->eswitch, "switchdev") != 0) {
		iol_fail(EINVAL, "\"%s\" is no value of eswitch: expected legacy or switchdev",
			 f->eswitch);
		return wrong(r, "eswitch");
	}
	if (rc)
		return rc;
	if (f->eswitch)
		strcpy(w->eswitch, f->eswitch);
	w->vf = calloc(f->vf_count + 1, sizeof(*w->vf));
	if (!w->vf)
		return iol_fail(ENOMEM, "no memory for %s", r->name);
	for (i = 0; !rc && i < f->vf_count; i++) {
		r->vf = (int)i;
		rc = read_vf(r, &f->vf[i], &w->vf[i]);
		w->num_vf++;
	}
	return rc;
}

static int read_pfs(struct reader *r, const struct file *f, struct iol_state *state)
{
	struct iol_state_fault fault;
	unsigned int i;
	int rc = 0;

	state->pf = calloc(f->pfs_count + 1, sizeof(*state->pf));
	if (!state->pf)
		return iol_fail(ENOMEM, "no memory for %s", r->name);
	for (i = 0; !rc && i < f->pfs_count; i++) {
		r->pf = i;
		state->num_pf++;
		rc = read_pf(r, &f->pfs[i], &state->pf[i]);
	}
	if (rc)
		return rc;
	rc = iol_state_check(state, &fault);
	if (rc != -EINVAL)
		return rc;
	r->pf = fault.pf;
	r->vf = fault.vf;
	return wrong(r, fault.field);
}

static int load_text(struct reader *r, const char *path)
{
	_cleanup_close_ int fd = -1;
	size_t room = 64u << 10;
	ssize_t n;

	fd = strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (fd < 0)
		return iol_fail(errno, "cannot open %s: %s", path, strerror(errno));
	for (;;) {
		char *more = realloc(r->text, room);

		if (!more)
			return iol_fail(ENOMEM, "no memory for %s", r->name);
		r->text = more;
		n = read(fd, r->text + r->len, room - r->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return iol_fail(errno, "cannot read %s: %s", r->name, strerror(errno));
		if (!n)
			return 0;
		r->len += (size_t)n;
		if (r->len > FILE_MAX)
			return iol_fail(EFBIG, "%s is larger than a file of this kind can be",
					r->name);
		if (r->len == room)
			room *= 2;
	}
}

int state_load(const struct iol_host *host, const char *path, struct iol_state *state)
{
	struct reader r = { .host = host, .name = strcmp(path, "-") != 0 ? path : "stdin" };
	cyaml_config_t config = {
		.log_fn = note,
		.log_ctx = &r,
		.log_level = CYAML_LOG_ERROR,
		.mem_fn = cyaml_mem,
		/* Aliases can make a small file a large one. */
		.flags = CYAML_CFG_NO_ALIAS,
	};
	struct file *file = NULL;
	cyaml_err_t err;
	int rc;

	*state = (struct iol_state){ 0 };
	rc = load_text(&r, path);
	if (rc) {
		free(r.text);
		return rc;
	}
	err = cyaml_load_data((const uint8_t *)r.text, r.len, &config, &file_schema,
			      (cyaml_data_t **)&file, NULL);
	if (err != CYAML_OK)
		rc = refused(&r, err);
	else if (!file)
		rc = iol_fail(EINVAL, "%s says nothing: expected \"pfs:\"", r.name);
	else
		rc = read_pfs(&r, file, state);
	free(r.text);
	cyaml_free(&config, &file_schema, file, 0);
	if (rc)
		state_clear(state);
	return rc;
}

void state_clear(struct iol_state *state)
{
	unsigned int i;

	for (i = 0; i < state->num_pf; i++)
		free(state->pf[i].vf);
	free(state->pf);
	*state = (struct iol_state){ 0 };
}
