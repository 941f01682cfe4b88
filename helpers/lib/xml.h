/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Xml: documents written element by element, read, and changed. Only this room knows libxml2, and it loads
 * the library when it is first used: Debian's brings ICU along, which a program that only shows its help
 * shall not pay for.
 *
 * Writing fails for lack of memory only, and then all that follows is for nothing: the writer remembers it,
 * so that its user reads as the document, and xml_finish() tells. */

#include "macro.h"

typedef struct Xml Xml;

/* Returns 0, -ENOPKG if the library is not installed, or -ENOMEM. */
int xml_new(Xml **ret) _must_check_ _nonnull_all_;
void xml_free(Xml *x);
DEFINE_POINTER_CLEANUP(Xml, xml_free)
#define _cleanup_xml_ _cleanup_(xml_freep)

/* Attributes follow as pairs of name and value up to a NULL name; a pair whose value is NULL is left out. */
void xml_open(Xml *x, const char *name, ...) _sentinel_ __attribute__((nonnull(1, 2)));
void xml_close(Xml *x) _nonnull_all_;
void xml_empty(Xml *x, const char *name, ...) _sentinel_ __attribute__((nonnull(1, 2)));
/* content: escaped as needed. NULL: there is no such element. */
void xml_text(Xml *x, const char *name, const char *content, ...) _sentinel_ __attribute__((nonnull(1, 2)));

/* The document without a declaration. 0 or -ENOMEM, also for what went wrong before. */
int xml_finish(Xml *x, char **ret) _must_check_ _nonnull_all_;

/* Decimal, as a value that lives as long as the statement: xml_empty(x, "page", "size", xml_number(4).text,
 * NULL). */
typedef struct XmlNumber {
        char text[sizeof("18446744073709551615")];
} XmlNumber;

XmlNumber xml_number(uint64_t n);

enum { XML_SIZE_MAX = 4 * 1024 * 1024 }; /* bytes of a document that is read */

typedef struct XmlDoc XmlDoc;
typedef struct XmlNode XmlNode; /* an element; lives as long as its document */

/* Returns 0, -EBADMSG for what is no such document (one with a document type is none either: no entities, and
 * nothing is ever fetched), -EFBIG, -ENOPKG or -ENOMEM. */
int xml_read(const char *text, XmlDoc **ret) _must_check_ _nonnull_all_;
void xml_doc_free(XmlDoc *d);
DEFINE_POINTER_CLEANUP(XmlDoc, xml_doc_free)
#define _cleanup_xml_doc_ _cleanup_(xml_doc_freep)

const XmlNode *xml_root(const XmlDoc *d) _nonnull_all_;
/* By name without prefix; NULL if there is none. xml_child(): the first one in n, or NULL for a NULL n.
 * xml_next(): the one after n of the same name. */
const XmlNode *xml_child(const XmlNode *n, const char *name) __attribute__((nonnull(2)));
const XmlNode *xml_next(const XmlNode *n) _nonnull_all_;
/* The same of any name. */
const XmlNode *xml_first(const XmlNode *n);
const XmlNode *xml_following(const XmlNode *n) _nonnull_all_;
bool xml_is(const XmlNode *n, const char *name) _nonnull_all_;
/* The URI of its name space, borrowed; "" for none. */
const char *xml_space(const XmlNode *n) _nonnull_all_;

/* Borrowed; NULL: there is no such attribute, or it is not plain text. n may be NULL. */
const char *xml_attribute(const XmlNode *n, const char *name) __attribute__((nonnull(2)));
/* The text right in it, borrowed; "" for none. n may be NULL. */
const char *xml_content(const XmlNode *n);

/* Changes, of elements of that document. What is added stands after all that is in the parent already, and is
 * of the parent's name space. Returns the new element, or NULL without memory. */
const XmlNode *xml_add(XmlDoc *d, const XmlNode *parent, const char *name, ...) _sentinel_ _must_check_
                __attribute__((nonnull(1, 2, 3)));
/* The same of an element that is written out. Returns 0, -EBADMSG if it is none, -ENOMEM. */
int xml_add_text(XmlDoc *d, const XmlNode *parent, const char *text) _must_check_ _nonnull_all_;
/* The attribute of that name is the value now, as plain text; and the text right in it, in place of all that
 * was there. Both 0 or -ENOMEM. */
int xml_set(const XmlNode *n, const char *name, const char *value) _must_check_ _nonnull_all_;
int xml_set_content(const XmlNode *n, const char *text) _must_check_ _nonnull_all_;
/* With all that is in it: it is no element any more. */
void xml_remove(XmlDoc *d, const XmlNode *n) _nonnull_all_;
/* The document without a declaration. 0 or -ENOMEM. */
int xml_print(const XmlDoc *d, char **ret) _must_check_ _nonnull_all_;
