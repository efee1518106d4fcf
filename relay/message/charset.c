#include "relay/message/charset.h"
#include "relay/base/utf8.h"

#include <errno.h>
#include <iconv.h>

#define REPLACEMENT "\xEF\xBF\xBD"

/*
 * Mail's names and iconv's.  ISO-8859-1 is read as windows-1252, as every mail reader does: nobody
 * sends the control bytes in which alone they differ, and many send curly quotes.
 */
static const struct {
	const char *name, *iconv_name;
} CHARSETS[] = {
    {"iso-8859-1", "WINDOWS-1252"},
    {"iso8859-1", "WINDOWS-1252"},
    {"iso_8859-1", "WINDOWS-1252"},
    {"latin1", "WINDOWS-1252"},
    {"windows-1252", "WINDOWS-1252"},
    {"cp1252", "WINDOWS-1252"},
    {"iso-8859-2", "ISO-8859-2"},
    {"iso-8859-3", "ISO-8859-3"},
    {"iso-8859-4", "ISO-8859-4"},
    {"iso-8859-5", "ISO-8859-5"},
    {"iso-8859-6", "ISO-8859-6"},
    {"iso-8859-7", "ISO-8859-7"},
    {"iso-8859-8", "ISO-8859-8"},
    {"iso-8859-8-i", "ISO-8859-8"},
    {"iso-8859-9", "WINDOWS-1254"},
    {"iso-8859-10", "ISO-8859-10"},
    {"iso-8859-11", "ISO-8859-11"},
    {"tis-620", "ISO-8859-11"},
    {"iso-8859-13", "ISO-8859-13"},
    {"iso-8859-14", "ISO-8859-14"},
    {"iso-8859-15", "ISO-8859-15"},
    {"iso-8859-16", "ISO-8859-16"},
    {"windows-1250", "WINDOWS-1250"},
    {"cp1250", "WINDOWS-1250"},
    {"windows-1251", "WINDOWS-1251"},
    {"cp1251", "WINDOWS-1251"},
    {"windows-1253", "WINDOWS-1253"},
    {"windows-1254", "WINDOWS-1254"},
    {"windows-1255", "WINDOWS-1255"},
    {"windows-1256", "WINDOWS-1256"},
    {"windows-1257", "WINDOWS-1257"},
    {"windows-1258", "WINDOWS-1258"},
    {"windows-874", "CP874"},
    {"ibm850", "CP850"},
    {"cp850", "CP850"},
    {"ibm437", "CP437"},
    {"cp866", "CP866"},
    {"ibm866", "CP866"},
    {"koi8-r", "KOI8-R"},
    {"koi8-u", "KOI8-U"},
    {"macintosh", "MACINTOSH"},
    {"gb2312", "GB18030"},
    {"gbk", "GB18030"},
    {"cp936", "GB18030"},
    {"gb18030", "GB18030"},
    {"big5", "BIG5-HKSCS"},
    {"big5-hkscs", "BIG5-HKSCS"},
    {"iso-2022-jp", "ISO-2022-JP-2"},
    {"iso-2022-jp-1", "ISO-2022-JP-2"},
    {"iso-2022-jp-2", "ISO-2022-JP-2"},
    {"shift_jis", "CP932"},
    {"shift-jis", "CP932"},
    {"sjis", "CP932"},
    {"windows-31j", "CP932"},
    {"cp932", "CP932"},
    {"euc-jp", "EUC-JP"},
    {"iso-2022-kr", "ISO-2022-KR"},
    {"euc-kr", "UHC"},
    {"ks_c_5601-1987", "UHC"},
    {"cp949", "UHC"},
    {"utf-7", "UTF-7"},
    {"unicode-1-1-utf-7", "UTF-7"},
    {"utf-16", "UTF-16"},
    {"utf-16le", "UTF-16LE"},
    {"utf-16be", "UTF-16BE"},
    {"utf-32", "UTF-32"},
    /* Other names of the same, and those of IBM's mainframes: some reader knows each, and whoever hides
     * something looks for those that a scanner does not. */
    {"utf-32le", "UTF-32LE"},
    {"utf-32be", "UTF-32BE"},
    {"ucs-4", "UTF-32BE"},
    {"iso-10646-ucs-4", "UTF-32BE"},
    {"utf16", "UTF-16"},
    {"utf-16-le", "UTF-16LE"},
    {"utf-16-be", "UTF-16BE"},
    {"ucs-2", "UTF-16"},
    {"ucs-2le", "UTF-16LE"},
    {"ucs-2be", "UTF-16BE"},
    {"iso-10646-ucs-2", "UTF-16"},
    {"csunicode", "UTF-16"},
    {"unicode", "UTF-16"},
    {"unicodefffe", "UTF-16BE"},
    {"cp1200", "UTF-16LE"},
    {"cp1201", "UTF-16BE"},
    {"utf7", "UTF-7"},
    {"unicode-2-0-utf-7", "UTF-7"},
    {"x-unicode-2-0-utf-7", "UTF-7"},
    {"csunicode11utf7", "UTF-7"},
    {"cp65000", "UTF-7"},
    {"ibm037", "IBM037"},
    {"cp037", "IBM037"},
    {"ibm500", "IBM500"},
    {"cp500", "IBM500"},
    {"ibm1047", "IBM1047"},
    {"ibm01047", "IBM1047"},
    {"ibm01140", "IBM1140"},
    {"cp1140", "IBM1140"},
    {"x-sjis", "CP932"},
    {"ms_kanji", "CP932"},
    {"x-euc-jp", "EUC-JP"},
    {"x-gbk", "GB18030"},
    {"gb_2312-80", "GB18030"},
    {"x-mac-roman", "MACINTOSH"},
};

enum { CHARSETS_N = sizeof(CHARSETS) / sizeof(CHARSETS[0]) };

/* One descriptor for each row, shared by rows with the same iconv name; NULL: not open. */
static iconv_t descriptors[CHARSETS_N];

static void
open_row(size_t row)
{
	iconv_t cd;

	for (size_t i = 0; i < row; i++) {
		if (strcmp(CHARSETS[i].iconv_name, CHARSETS[row].iconv_name) == 0) {
			descriptors[row] = descriptors[i];
			return;
		}
	}
	cd = iconv_open("UTF-8", CHARSETS[row].iconv_name);
	if (cd != (iconv_t)-1)
		descriptors[row] = cd;
}

void
charset_open_all(void)
{
	for (size_t i = 0; i < CHARSETS_N; i++)
		if (descriptors[i] == NULL)
			open_row(i);
}

static const char *
iconv_name_of(struct span name)
{
	for (size_t i = 0; i < CHARSETS_N; i++)
		if (span_eq_nocase(name, span_str(CHARSETS[i].name)))
			return CHARSETS[i].iconv_name;
	return "";
}

bool
charset_needs_mark(struct span name)
{
	return strcmp(iconv_name_of(name), "UTF-16") == 0;
}

static iconv_t
descriptor_of(struct span name)
{
	for (size_t i = 0; i < CHARSETS_N; i++)
		if (span_eq_nocase(name, span_str(CHARSETS[i].name)))
			return descriptors[i];
	return NULL;
}

bool
charset_is_utf8(struct span name)
{
	return name.n == 0 || span_eq_nocase(name, SPAN("us-ascii")) ||
	       span_eq_nocase(name, SPAN("utf-8")) || span_eq_nocase(name, SPAN("utf8")) ||
	       span_eq_nocase(name, SPAN("ascii"));
}

bool
charset_is_known(struct span name)
{
	return charset_is_utf8(name) || descriptor_of(name) != NULL;
}

/* Bytes of s that may be copied at once: well-formed, or ASCII only. */
static size_t
clean_run(struct span s, bool is_utf8)
{
	size_t at = 0;

	while (at < s.n) {
		size_t n = (unsigned char)s.p[at] < 0x80 ? 1
			   : is_utf8                     ? utf8_length(span_skip(s, at))
							 : 0;

		if (n == 0)
			break;
		at += n;
	}
	return at;
}

/* As much of a well-formed run as there is room for, whole characters only; false: it was cut. */
static bool
add_cut(struct buf *to, struct span run)
{
	size_t left = to->max - to->n, n = run.n;

	if (n > left) {
		n = left;
		while (n > 0 && ((unsigned char)run.p[n] & 0xC0) == 0x80)
			n--;
	}
	(void)buf_add_span(to, span_take(run, n)); /* fits */
	return n == run.n;
}

static bool
copy_clean(struct span bytes, bool is_utf8, struct buf *to)
{
	bool is_clean = true;

	while (bytes.n > 0) {
		size_t n = clean_run(bytes, is_utf8);

		if (!add_cut(to, span_take(bytes, n)))
			break;
		bytes = span_skip(bytes, n);
		if (bytes.n == 0)
			break;
		is_clean = false;
		if (!add_cut(to, SPAN(REPLACEMENT)))
			break;
		bytes = span_skip(bytes, 1);
	}
	return is_clean;
}

/* Converts in pieces of the stack's, since how far UTF-8 grows is not known before. */
static bool
convert(iconv_t cd, struct span bytes, struct buf *to)
{
	char piece[4096];
	char *in = (char *)(uintptr_t)bytes.p; /* iconv's prototype lacks the const it keeps */
	size_t left = bytes.n;
	bool is_clean = true, is_flushing = false;

	(void)iconv(cd, NULL, NULL, NULL, NULL); /* back to the initial state: cannot fail */
	while (to->n < to->max) {
		char *out = piece;
		size_t room = sizeof(piece), n, before = left;

		n = is_flushing ? iconv(cd, NULL, NULL, &out, &room)
				: iconv(cd, &in, &left, &out, &room);
		if (!add_cut(to, span_of(piece, sizeof(piece) - room)))
			break;
		if (n != (size_t)-1) {
			if (is_flushing)
				break;
			is_flushing = true;
			continue;
		}
		if (errno == E2BIG && (left < before || room < sizeof(piece)))
			continue;
		is_clean = false;
		if (!add_cut(to, SPAN(REPLACEMENT)) || left == 0 || is_flushing)
			break;
		in++;
		left--;
	}
	return is_clean;
}

bool
charset_to_utf8(struct span name, struct span bytes, struct buf *to)
{
	iconv_t cd;

	if (to->failed || to->n > to->max)
		return false;
	if (charset_is_utf8(name))
		return copy_clean(bytes, true, to);
	cd = descriptor_of(name);
	if (cd == NULL) {
		(void)copy_clean(bytes, false, to); /* unclean, whatever the bytes */
		return false;
	}
	return convert(cd, bytes, to);
}
