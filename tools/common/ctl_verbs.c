/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"
#include "tools/common/ctl.h"
#include "tools/common/ctl_server.h"
#include "tools/common/opt.h"

#include <stdio.h>
#include <string.h>

static char *to_line(struct json_object *reply)
{
	const char *text = json_object_to_json_string_ext(
		reply, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	char *line = NULL;

	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	json_object_put(reply);
	return line;
}

char *ctl_refuse(const char *sentence)
{
	struct json_object *reply = json_object_new_object();

	json_object_object_add(reply, "ok", json_object_new_boolean(false));
	ctl_add_string(reply, "error", sentence);
	return to_line(reply);
}

static int run(const struct ctl_verbs *verbs, struct json_object *request,
	       struct json_object **result)
{
	const char *cmd;
	unsigned int i;
	int rc;

	rc = ctl_get_string(request, "cmd", &cmd);
	if (rc < 0)
		return rc;
	if (!cmd)
		return iol_fail(EINVAL, "the request lacks \"cmd\"");
	for (i = 0; i < verbs->num; i++) {
		if (!strcmp(verbs->list[i].name, cmd))
			return verbs->list[i].run(verbs->ctx, request, result);
	}
	return opt_unknown("command", "", cmd, verbs->list, verbs->num, sizeof(verbs->list[0]));
}

char *ctl_answer(const struct ctl_verbs *verbs, const char *line, size_t len)
{
	struct json_object *request, *result = NULL, *reply;
	int rc;

	rc = ctl_parse(line, len, &request);
	if (rc < 0)
		return ctl_refuse(iol_error());
	rc = run(verbs, request, &result);
	json_object_put(request);
	if (rc < 0)
		return ctl_refuse(iol_error());
	reply = json_object_new_object();
	json_object_object_add(reply, "ok", json_object_new_boolean(true));
	json_object_object_add(reply, "result", result);
	return to_line(reply);
}
