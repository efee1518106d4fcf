#include "filters/attachment/attachment.h"

static const struct pnf_outcome outcomes[] = {
    {"blocked", "reject", "a name, type or hash that is listed; why says which"},
    {"encrypted", "tag", "an archive or document that cannot be looked into"},
    {"macro", "tag", "an Office document with macros"},
    {"disguised", "tag", "a name made to look like another: turned direction, rows of blanks"},
    {"malformed", "tag", "an archive that cannot be read to its end"},
    {"limit", "tag", "more archives in archives, members, bytes or time than are looked at"},
    {.name = NULL}};

static const struct pnf_option options[] = {
    {"extensions", PNF_OPTION_LIST,
	"{\"exe\", \"com\", \"scr\", \"pif\", \"bat\", \"cmd\", \"cpl\", \"msi\", \"msp\", "
	"\"mst\", "
	"\"dll\", \"ocx\", \"sys\", \"vb\", \"vbs\", \"vbe\", \"js\", \"jse\", \"ws\", \"wsf\", "
	"\"wsh\", \"wsc\", \"hta\", \"ps1\", \"psm1\", \"psd1\", \"lnk\", \"url\", \"scf\", "
	"\"inf\", \"reg\", \"msc\", \"jar\", \"jnlp\", \"chm\", \"hlp\", \"application\", "
	"\"appref-ms\", \"gadget\", \"xll\", \"iqy\", \"slk\", \"settingcontent-ms\", "
	"\"library-ms\", \"search-ms\", \"diagcab\", \"vhd\", \"vhdx\"}",
	"endings that are blocked, in archives too; {} for none"},
    {"names", PNF_OPTION_LIST, NULL, "names that are blocked, * stands for anything"},
    {"types", PNF_OPTION_LIST,
	"{\"application/x-dosexec\", \"application/vnd.microsoft.portable-executable\", "
	"\"application/x-msdownload\", \"application/x-ms-shortcut\", \"application/hta\"}",
	"MIME types that are blocked, declared or real; * stands for anything"},
    {"hashes", PNF_OPTION_TEXT, NULL, "file with SHA-256 sums that are blocked, one a line"},
    {"archive_depth", PNF_OPTION_NUMBER, "5", "archives in archives that are looked into, up to 8"},
    {"archive_files", PNF_OPTION_NUMBER, "5000", "members of one message, up to 20000"},
    {"archive_bytes", PNF_OPTION_SIZE, "256M", "bytes of one member, unpacked"}, {.name = NULL}};

const struct pnf_about attachment_about = {.name = "attachment",
    .version = "0.1",
    .summary = "attachments by name, type, hash and content of archives",
    .may = PNF_MAY_NAME_PARTS,
    .needs = PNF_NEEDS_PARTS | PNF_NEEDS_DECODED | PNF_NEEDS_MEMBERS,
    .outcomes = outcomes,
    .options = options};
