/* Lines of libclamav, and whose fault they are. */
#include "filters/antivirus/complaint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void
test_lines(void **state)
{
	static const struct {
		const char *line;
		bool if_warning, if_error;
	} rows[] = {
	    {"", false, false},
	    {"fmap: map allocation failed", true, true},
	    {"fmap: map header allocation failed", true, true},
	    {"fmap: fstat failed", true, true},
	    {"CRITICAL: fmap() failed", true, true},
	    {"fmap_readpage: pread error: Input/output error", true, true},
	    {"fmap_readpage: pread fail: asked for 4096 bytes @ offset 0, got 12", true, true},
	    {"cli_readn: read error: Input/output error", true, true},
	    {"bytecode api: out of memory!", true, true},
	    {"cli_genfname: no memory left for fname", true, true},
	    {"cli_max_malloc(): Can't allocate memory (4096 bytes).", false, true},
	    {"lsig_sub_matched: Calloc failed for cli_lsig_matches", false, true},
	    {"cannot mmap", false, true},
	    {"cli_max_malloc(): File or section is too large to scan (9 bytes). For your safety, "
	     "ClamAV limits how much memory an operation can allocate to 8 bytes",
		false, true},
	    {"premature end of compressed stream", false, false},
	    {"Attachment cannot be scanned", false, false},
	    {"cli_unzip: read errors", false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span line = span_str(rows[i].line);

		if (complaint_is_of_machine(line, false) != rows[i].if_warning ||
		    complaint_is_of_machine(line, true) != rows[i].if_error)
			fail_msg("\"%s\" is taken for another's fault", rows[i].line);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
