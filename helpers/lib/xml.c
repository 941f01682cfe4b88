/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "xml.h"
#include "library.h"

#include <libxml/parser.h>
#include <libxml/xmlwriter.h>
#include <stdarg.h>

#define LIBRARY "libxml2.so.2"

/* The functions used here, with libxml2's own prototypes. */
#define FUNCTIONS(X)                    \
        X(xmlAddChild)                  \
        X(xmlNodeAddContent)            \
        X(xmlNodeSetContent)            \
        X(xmlSetProp)                   \
        X(xmlBufferContent)             \
        X(xmlBufferCreate)              \
        X(xmlBufferFree)                \
        X(xmlDocCopyNode)               \
        X(xmlDocGetRootElement)         \
        X(xmlFreeDoc)                   \
        X(xmlFreeNode)                  \
        X(xmlFreeTextWriter)            \
        X(xmlNewDocNode)                \
        X(xmlNewProp)                   \
        X(xmlNewTextWriterMemory)       \
        X(xmlNodeDump)                  \
        X(xmlReadMemory)                \
        X(xmlTextWriterEndElement)      \
        X(xmlTextWriterFlush)           \
        X(xmlTextWriterSetIndent)       \
        X(xmlTextWriterSetIndentString) \
        X(xmlTextWriterStartElement)    \
        X(xmlTextWriterWriteAttribute)  \
        X(xmlTextWriterWriteString)     \
        X(xmlUnlinkNode)

/* One pointer of the right type for each, named as the function. */
static struct {
        void *library;
#define X(f) typeof(&f) f;
        FUNCTIONS(X)
#undef X
} lx;

struct Xml {
        xmlBufferPtr buffer;
        xmlTextWriterPtr writer;
        bool failed;
};

#define X(f) { #f, &lx.f },
static const LibraryFunction functions[] = { FUNCTIONS(X) };
#undef X

static int load_library(void) {
        return MIN(library_load(LIBRARY, functions, ELEMENTSOF(functions), &lx.library), 0);
}

void xml_free(Xml *x) {
        if (x->writer)
                lx.xmlFreeTextWriter(x->writer);
        if (x->buffer)
                lx.xmlBufferFree(x->buffer);
        free(x);
}

int xml_new(Xml **ret) {
        _cleanup_xml_ Xml *x = NULL;
        int r;

        r = load_library();
        if (r < 0)
                return r;
        x = calloc(1, sizeof(*x));
        if (x)
                x->buffer = lx.xmlBufferCreate();
        if (x && x->buffer)
                x->writer = lx.xmlNewTextWriterMemory(x->buffer, 0);
        if (!x || !x->writer)
                return -ENOMEM;
        (void) lx.xmlTextWriterSetIndent(x->writer, 1);
        (void) lx.xmlTextWriterSetIndentString(x->writer, BAD_CAST "  ");
        *ret = TAKE_PTR(x);
        return 0;
}

static void note(Xml *x, int written) {
        x->failed = x->failed || written < 0;
}

static void attributes(Xml *x, va_list ap) {
        const char *name, *value;

        while ((name = va_arg(ap, const char *))) {
                value = va_arg(ap, const char *);
                if (value)
                        note(x, lx.xmlTextWriterWriteAttribute(x->writer, BAD_CAST name, BAD_CAST value));
        }
}

static void begin(Xml *x, const char *name, va_list ap) {
        note(x, lx.xmlTextWriterStartElement(x->writer, BAD_CAST name));
        attributes(x, ap);
}

void xml_open(Xml *x, const char *name, ...) {
        va_list ap;

        va_start(ap, name);
        begin(x, name, ap);
        va_end(ap);
}

void xml_close(Xml *x) {
        note(x, lx.xmlTextWriterEndElement(x->writer));
}

void xml_empty(Xml *x, const char *name, ...) {
        va_list ap;

        va_start(ap, name);
        begin(x, name, ap);
        va_end(ap);
        xml_close(x);
}

void xml_text(Xml *x, const char *name, const char *content, ...) {
        va_list ap;

        if (!content)
                return;
        va_start(ap, content);
        begin(x, name, ap);
        va_end(ap);
        note(x, lx.xmlTextWriterWriteString(x->writer, BAD_CAST content));
        xml_close(x);
}

int xml_finish(Xml *x, char **ret) {
        const xmlChar *content;
        char *text;

        note(x, lx.xmlTextWriterFlush(x->writer));
        content = x->failed ? NULL : lx.xmlBufferContent(x->buffer);
        text = content ? strdup((const char *) content) : NULL;
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

XmlNumber xml_number(uint64_t n) {
        XmlNumber s;

        (void) snprintf(s.text, sizeof(s.text), "%llu", (unsigned long long) n);
        return s;
}

int xml_read(const char *text, XmlDoc **ret) {
        size_t size = strlen(text);
        xmlDocPtr d;
        int r;

        if (size > XML_SIZE_MAX)
                return -EFBIG;
        r = load_library();
        if (r < 0)
                return r;
        d = lx.xmlReadMemory(text, (int) size, NULL, NULL,
                             XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);
        if (!d)
                return -EBADMSG;
        if (d->intSubset || d->extSubset || !lx.xmlDocGetRootElement(d)) {
                lx.xmlFreeDoc(d);
                return -EBADMSG;
        }
        *ret = (XmlDoc *) d;
        return 0;
}

void xml_doc_free(XmlDoc *d) {
        lx.xmlFreeDoc((xmlDocPtr) d);
}

const XmlNode *xml_root(const XmlDoc *d) {
        return (const XmlNode *) lx.xmlDocGetRootElement((const xmlDoc *) d);
}

bool xml_is(const XmlNode *n, const char *name) {
        return streq((const char *) ((const xmlNode *) n)->name, name);
}

const char *xml_space(const XmlNode *n) {
        const xmlNs *space = ((const xmlNode *) n)->ns;

        return space ? strempty((const char *) space->href) : "";
}

/* name: NULL for any. */
static const XmlNode *first_from(const xmlNode *n, const char *name) {
        for (; n; n = n->next)
                if (n->type == XML_ELEMENT_NODE && (!name || xml_is((const XmlNode *) n, name)))
                        return (const XmlNode *) n;
        return NULL;
}

const XmlNode *xml_child(const XmlNode *n, const char *name) {
        return n ? first_from(((const xmlNode *) n)->children, name) : NULL;
}

const XmlNode *xml_next(const XmlNode *n) {
        const xmlNode *node = (const xmlNode *) n;

        return first_from(node->next, (const char *) node->name);
}

const XmlNode *xml_first(const XmlNode *n) {
        return n ? first_from(((const xmlNode *) n)->children, NULL) : NULL;
}

const XmlNode *xml_following(const XmlNode *n) {
        return first_from(((const xmlNode *) n)->next, NULL);
}

/* libxml2 keeps text without a document type's entities in one node. */
static const char *text_of(const xmlNode *children) {
        if (!children)
                return "";
        return children->type == XML_TEXT_NODE && children->content ? (const char *) children->content : NULL;
}

const char *xml_attribute(const XmlNode *n, const char *name) {
        const xmlAttr *a = n ? ((const xmlNode *) n)->properties : NULL;

        for (; a; a = a->next)
                if (streq((const char *) a->name, name))
                        return text_of(a->children);
        return NULL;
}

const char *xml_content(const XmlNode *n) {
        const xmlNode *node = (const xmlNode *) n;

        for (node = node ? node->children : NULL; node; node = node->next)
                if (node->type == XML_TEXT_NODE && node->content)
                        return (const char *) node->content;
        return "";
}

/* One without its attributes is worth nothing. */
static xmlNode *new_node(xmlDoc *d, xmlNs *space, const char *name, va_list ap) {
        xmlNode *n = lx.xmlNewDocNode(d, space, BAD_CAST name, NULL);
        const char *attribute, *value;

        while (n && (attribute = va_arg(ap, const char *))) {
                value = va_arg(ap, const char *);
                if (!value || lx.xmlNewProp(n, BAD_CAST attribute, BAD_CAST value))
                        continue;
                lx.xmlFreeNode(n);
                n = NULL;
        }
        return n;
}

static const XmlNode *append(const XmlNode *parent, xmlNode *n) {
        if (!n || lx.xmlAddChild((xmlNode *) parent, n))
                return (const XmlNode *) n;
        lx.xmlFreeNode(n);
        return NULL;
}

const XmlNode *xml_add(XmlDoc *d, const XmlNode *parent, const char *name, ...) {
        xmlNode *n;
        va_list ap;

        va_start(ap, name);
        n = new_node((xmlDoc *) d, ((const xmlNode *) parent)->ns, name, ap);
        va_end(ap);
        return append(parent, n);
}

int xml_add_text(XmlDoc *d, const XmlNode *parent, const char *text) {
        _cleanup_xml_doc_ XmlDoc *other = NULL;
        int r;

        r = xml_read(text, &other);
        if (r < 0)
                return r;
        return append(parent, lx.xmlDocCopyNode((xmlNode *) xml_root(other), (xmlDoc *) d, 1)) ? 0 : -ENOMEM;
}

int xml_set(const XmlNode *n, const char *name, const char *value) {
        return lx.xmlSetProp((xmlNode *) n, (const xmlChar *) name, (const xmlChar *) value) ? 0 : -ENOMEM;
}

/* xmlNodeSetContent() would take "&amp;" for an entity. */
int xml_set_content(const XmlNode *n, const char *text) {
        lx.xmlNodeSetContent((xmlNode *) n, NULL);
        lx.xmlNodeAddContent((xmlNode *) n, (const xmlChar *) text);
        return streq(xml_content(n), text) ? 0 : -ENOMEM;
}

void xml_remove(XmlDoc *d, const XmlNode *n) {
        (void) d;
        lx.xmlUnlinkNode((xmlNode *) n);
        lx.xmlFreeNode((xmlNode *) n);
}

int xml_print(const XmlDoc *d, char **ret) {
        xmlBufferPtr buffer = lx.xmlBufferCreate();
        char *text = NULL;

        if (buffer && lx.xmlNodeDump(buffer, (xmlDoc *) d, (xmlNode *) xml_root(d), 0, 0) >= 0)
                text = strdup((const char *) lx.xmlBufferContent(buffer));
        if (buffer)
                lx.xmlBufferFree(buffer);
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}
