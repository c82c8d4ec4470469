/* SPDX-License-Identifier: BSD-3-Clause */
/* Where and how a number was measured, so that somebody else can measure it again. */
#include "bench.h"

#include "base/error.h"

#include <dirent.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static struct json_object *text(const char *s)
{
	return json_object_new_string(s);
}

static void first_line(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "re");

	buf[0] = '\0';
	if (!f)
		return;
	if (fgets(buf, (int)len, f))
		buf[strcspn(buf, "\n")] = '\0';
	fclose(f);
}

static void cpu_model(char *buf, size_t len)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[512];

	snprintf(buf, len, "unknown");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(buf, len, "%s", colon + 2);
		break;
	}
	fclose(f);
}

static struct json_object *mitigations(void)
{
	static const char dir[] = "/sys/devices/system/cpu/vulnerabilities";
	struct json_object *o = json_object_new_object();
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[512], value[256];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		first_line(path, value, sizeof(value));
		if (strcmp(value, "Not affected") != 0)
			json_object_object_add(o, e->d_name, text(value));
	}
	if (d)
		closedir(d);
	return o;
}

struct json_object *bench_manifest(char *const *argv)
{
	struct json_object *o = json_object_new_object();
	struct json_object *machine = json_object_new_object();
	struct json_object *line = json_object_new_array();
	time_t now = time(NULL);
	struct utsname u;
	struct tm tm;
	char buf[512];

	cpu_model(buf, sizeof(buf));
	json_object_object_add(machine, "cpu", text(buf));
	json_object_object_add(machine, "cores",
			       json_object_new_int64(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_object_add(machine, "memory_mib",
			       json_object_new_int64(sysconf(_SC_PHYS_PAGES) /
						     ((1 << 20) / sysconf(_SC_PAGESIZE))));
	if (!uname(&u)) {
		snprintf(buf, sizeof(buf), "%s %s %s", u.sysname, u.release, u.machine);
		json_object_object_add(machine, "kernel", text(buf));
	}
	first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", buf,
		   sizeof(buf));
	json_object_object_add(machine, "clocksource", text(buf));
	json_object_object_add(machine, "mitigations", mitigations());
	gmtime_r(&now, &tm);
	strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_object_object_add(o, "date", text(buf));
	json_object_object_add(o, "version", text(iol_version()));
	for (; *argv; argv++)
		json_object_array_add(line, text(*argv));
	json_object_object_add(o, "argv", line);
	json_object_object_add(o, "machine", machine);
	return o;
}

/* The mount that holds a file is the one with the file's device number. */
static void file_system(dev_t dev, char *type, char *source, size_t len)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;

	snprintf(type, len, "unknown");
	source[0] = '\0';
	while (f && getline(&line, &cap, f) > 0) {
		unsigned int major, minor;
		char *dash = strstr(line, " - ");
		char t[128], s[128];

		if (!dash || sscanf(line, "%*d %*d %u:%u", &major, &minor) != 2 ||
		    sscanf(dash, " - %127s %127s", t, s) != 2)
			continue;
		if (makedev(major, minor) != dev)
			continue;
		snprintf(type, len, "%s", t);
		snprintf(source, len, "%s", s);
	}
	free(line);
	if (f)
		fclose(f);
}

static uint64_t device_size(const char *path)
{
	FILE *f = fopen(path, "re");
	uint64_t size = 0;

	if (f && ioctl(fileno(f), BLKGETSIZE64, &size) < 0)
		size = 0;
	if (f)
		fclose(f);
	return size;
}

struct json_object *bench_manifest_image(const char *path)
{
	struct json_object *o;
	char type[128], source[128];
	bool block;
	struct stat st;

	if (stat(path, &st) < 0)
		return NULL;
	block = S_ISBLK(st.st_mode);
	o = json_object_new_object();
	json_object_object_add(o, "path", text(path));
	json_object_object_add(o, "kind", text(block ? "block device" : "file"));
	json_object_object_add(o, "bytes",
			       json_object_new_int64(block ? (int64_t)device_size(path)
							   : (int64_t)st.st_size));
	if (block)
		return o;
	json_object_object_add(o, "bytes_allocated", json_object_new_int64(st.st_blocks * 512));
	file_system(st.st_dev, type, source, sizeof(type));
	json_object_object_add(o, "file_system", text(type));
	json_object_object_add(o, "mounted_from", text(source));
	return o;
}
