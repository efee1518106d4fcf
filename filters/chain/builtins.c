#include "filters/chain/builtins.h"
#include "filters/antivirus/clamav.h"
#include "filters/attachment/attachment.h"
#include "filters/content/content.h"
#include "filters/header/header.h"
#include "filters/tag/tag.h"

const struct pnf_filter *
filters_builtin(const struct pnf_about *about)
{
	static const struct pnf_filter *const all[] = {
	    &clamav_filter, &attachment_filter, &content_filter, &header_filter, &tag_filter};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i]->about == about)
			return all[i];
	return NULL;
}
