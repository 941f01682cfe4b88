/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* YAML as a tree: what stands there is kept as it is, and what could grow is refused. */

#include "fs.h"
#include "tests/tap.h"
#include "yamldoc.h"

static YamlNode *root;
static YamlError error;

static int parse(const char *text) {
        int r;

        if (root)
                yamldoc_free(root);
        root = NULL;
        r = yamldoc_parse(text, strlen(text), &root, &error);
        if (r == -ENOPKG)
                SKIP("libyaml's library is not installed");
        return r;
}

static const char *at(const char *key) {
        const YamlNode *n = yamldoc_find(root, key);

        return n ? n->text : NULL;
}

/* Why it is none, with its line. */
static const char *refused(const char *text, int expected) {
        static char said[200];
        int r = parse(text);

        (void) snprintf(said, sizeof(said), "%u: %s", error.line, error.text);
        return r == expected ? said : "another error";
}

TEST(texts_stay_what_they_are) {
        ASSERT_EQ(parse("a: 0000:01:00\nb: \"10de:2d04\"\nc: yes\noct: 010\n"), 0);
        ASSERT_STREQ(at("a"), "0000:01:00");
        ASSERT_STREQ(at("b"), "10de:2d04");
        ASSERT_STREQ(at("c"), "yes");
        ASSERT_STREQ(at("oct"), "010");
        ASSERT(!at("e"));
        ASSERT(yamldoc_find(root, "b")->quoted && !yamldoc_find(root, "a")->quoted);
        ASSERT(!yamldoc_find(NULL, "a") && !yamldoc_find(yamldoc_find(root, "a"), "a"));
}

TEST(nothing_is_nothing_unless_it_is_quoted) {
        ASSERT_EQ(parse("a:\nb: ~\nc: Null\nq: \"\"\ne: '~'\nf: []\n"), 0);
        ASSERT(yamldoc_is_null(yamldoc_find(root, "a")));
        ASSERT(yamldoc_is_null(yamldoc_find(root, "b")));
        ASSERT(yamldoc_is_null(yamldoc_find(root, "c")));
        ASSERT(!yamldoc_is_null(yamldoc_find(root, "q")));
        ASSERT(!yamldoc_is_null(yamldoc_find(root, "e")));
        ASSERT(!yamldoc_is_null(yamldoc_find(root, "f")));
}

TEST(a_tree_in_its_order_with_lines) {
        const YamlNode *list, *map;

        ASSERT_EQ(parse("---\n# first\nlist:\n  - one\n  - two: 2\n    three: [3]\n"), 0);
        list = yamldoc_find(root, "list");
        ASSERT(list && list->kind == YAML_LIST && !list->text);
        ASSERT_EQ(list->line, 3);
        ASSERT_STREQ(list->first->text, "one");
        ASSERT(!list->first->key);
        map = list->first->next;
        ASSERT(map && map->kind == YAML_MAP && !map->next);
        ASSERT_EQ(map->line, 5);
        ASSERT_EQ(yamldoc_find(map, "three")->line, 6);
        ASSERT_STREQ(yamldoc_find(map, "three")->first->text, "3");
}

TEST(references_are_not_followed) {
        ASSERT_EQ(parse("a: &x {b: 1}\nc: *x\nm: {<<: *x}\ne: *nobody\n"), 0);
        ASSERT_EQ(yamldoc_find(root, "c")->kind, YAML_REFERENCE);
        ASSERT_STREQ(at("c"), "x");
        ASSERT_EQ(yamldoc_find(yamldoc_find(root, "m"), "<<")->kind, YAML_REFERENCE);
        ASSERT(!yamldoc_find(yamldoc_find(root, "m"), "b"));
        ASSERT(!yamldoc_find(root, "c")->first);
}

TEST(what_is_no_such_document) {
        ASSERT_STREQ(refused("", -EBADMSG), "0: nothing is in it");
        ASSERT_STREQ(refused("a: 1\n---\nb: 2\n", -EBADMSG), "2: more than one document");
        ASSERT_STREQ(refused("a: 1\nb: 2\na: 3\n", -EBADMSG), "3: the key 'a' is there twice");
        ASSERT_STREQ(refused("a: 1\n? [x, y]\n: 2\n", -EBADMSG), "2: a key that is no text");
        ASSERT_STREQ(refused("a:\n  b: \"x\\0y\"\n", -EBADMSG), "2: a NUL in a text");
        ASSERT(startswith(refused("a: [1, 2\nb: 3\n", -EBADMSG), "2: no YAML: "));
        ASSERT(startswith(refused("a: \xff\n", -EBADMSG), "1: no YAML: "));
        ASSERT(!root);
}

TEST(what_is_too_much) {
        _cleanup_free_ char *many = calloc(1, YAMLDOC_SIZE_MAX + 2);
        char deep[YAMLDOC_DEPTH_MAX + 2];

        memset(deep, '[', sizeof(deep) - 1);
        deep[sizeof(deep) - 1] = '\0';
        ASSERT_STREQ(refused(deep, -EFBIG), "1: more than 32 levels deep");
        ASSERT(many);
        memset(many, '#', YAMLDOC_SIZE_MAX + 1);
        ASSERT_STREQ(refused(many, -EFBIG), "0: more than 1048576 bytes");
        many[0] = '\0';
        for (unsigned i = 0; i <= YAMLDOC_NODES_MAX; i++)
                memcpy(many + 3 * (size_t) i, "- \n", 4);
        ASSERT_STREQ(refused(many, -EFBIG), "10000: more than 10000 values");
        yamldoc_free(root); /* NULL: nothing to do */
        root = NULL;
}
