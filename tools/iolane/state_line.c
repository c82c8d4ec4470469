/* SPDX-License-Identifier: BSD-3-Clause */
/* Where in a file something stands: libcyaml tells lines of what it refuses itself, and not of what it has loaded. */
#include "state_file.h"

#include <string.h>
#include <yaml.h>

static const yaml_node_t *in_mapping(yaml_document_t *doc, const yaml_node_t *node, const char *key)
{
	const yaml_node_pair_t *p;

	if (!node || node->type != YAML_MAPPING_NODE)
		return NULL;
	for (p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
		const yaml_node_t *k = yaml_document_get_node(doc, p->key);

		if (k && k->type == YAML_SCALAR_NODE &&
		    !strcmp((const char *)k->data.scalar.value, key))
			return yaml_document_get_node(doc, p->value);
	}
	return NULL;
}

static const yaml_node_t *in_sequence(yaml_document_t *doc, const yaml_node_t *node, unsigned int i)
{
	const yaml_node_item_t *first;

	if (!node || node->type != YAML_SEQUENCE_NODE)
		return NULL;
	first = node->data.sequence.items.start;
	return i < (size_t)(node->data.sequence.items.top - first)
		       ? yaml_document_get_node(doc, first[i])
		       : NULL;
}

unsigned int state_line(const char *text, size_t len, unsigned int pf, int vf, const char *field)
{
	const yaml_node_t *at, *next;
	yaml_parser_t parser;
	yaml_document_t doc;
	unsigned int line = 0;

	if (!yaml_parser_initialize(&parser))
		return 0;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &doc)) {
		yaml_parser_delete(&parser);
		return 0;
	}
	at = in_mapping(&doc, yaml_document_get_root_node(&doc), "pfs");
	at = in_sequence(&doc, at, pf);
	if (at && vf >= 0) {
		next = in_mapping(&doc, at, "vf");
		next = in_sequence(&doc, next, (unsigned int)vf);
		at = next ? next : at;
	}
	if (at) {
		next = in_mapping(&doc, at, field);
		at = next ? next : at;
		line = (unsigned int)at->start_mark.line + 1;
	}
	yaml_document_delete(&doc);
	yaml_parser_delete(&parser);
	return line;
}
