/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tests/tap.h"
#include "xml.h"

static XmlDoc *read_it(const char *text) {
        XmlDoc *d = NULL;

        ASSERT_EQ(xml_read(text, &d), 0);
        return d;
}

TEST(what_is_written_is_read_back) {
        static const char odd[] = "a&b <c> \"d\" 'e' \n\xc3\xa9";
        _cleanup_xml_ Xml *x = NULL;
        _cleanup_xml_doc_ XmlDoc *d = NULL;
        _cleanup_free_ char *text = NULL;

        ASSERT_EQ(xml_new(&x), 0);
        xml_open(x, "top", "odd", odd, "none", NULL, NULL);
        xml_text(x, "left-out", NULL, NULL);
        xml_text(x, "content", odd, "n", xml_number(UINT64_MAX).text, NULL);
        xml_close(x);
        ASSERT_EQ(xml_finish(x, &text), 0);
        d = read_it(text);
        ASSERT(xml_is(xml_root(d), "top"));
        ASSERT_STREQ(xml_attribute(xml_root(d), "odd"), odd);
        ASSERT(!xml_attribute(xml_root(d), "none"));
        ASSERT(!xml_child(xml_root(d), "left-out"));
        ASSERT_STREQ(xml_content(xml_child(xml_root(d), "content")), odd);
        ASSERT_STREQ(xml_attribute(xml_child(xml_root(d), "content"), "n"), "18446744073709551615");
}

TEST(children_by_name_in_order) {
        _cleanup_xml_doc_ XmlDoc *d =
                        read_it("<t xmlns:g='urn:x'><a i='1'/>text<b/><!-- c --><g:a i='2'/><a i='3'/></t>");
        const XmlNode *a = xml_child(xml_root(d), "a");

        ASSERT_STREQ(xml_attribute(a, "i"), "1");
        ASSERT_STREQ(xml_space(a), "");
        a = xml_next(a);
        ASSERT_STREQ(xml_attribute(a, "i"), "2");
        ASSERT_STREQ(xml_space(a), "urn:x");
        a = xml_next(a);
        ASSERT_STREQ(xml_attribute(a, "i"), "3");
        ASSERT(!xml_next(a));
        ASSERT(!xml_child(NULL, "a") && !xml_attribute(NULL, "i"));
        ASSERT_STREQ(xml_content(xml_child(xml_root(d), "b")), "");
}

TEST(what_is_no_document_is_refused) {
        static const char *const bad[] = {
                "",
                "text",
                "<a>",
                "<a></b>",
                "<a/><b/>",
                "<!DOCTYPE a><a/>",
                "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>",
                "<a>&e;</a>",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                XmlDoc *d = NULL;

                ASSERT_EQ(xml_read(bad[i], &d), -EBADMSG);
                ASSERT(!d);
        }
}
