#include "filters/chain/abouts.h"
#include "filters/antivirus/clamav.h"
#include "filters/attachment/attachment.h"
#include "filters/content/content.h"
#include "filters/header/header.h"
#include "filters/tag/tag.h"

const struct pnf_about *const *
filters_abouts(void)
{
	static const struct pnf_about *const all[] = {
	    &clamav_about, &attachment_about, &content_about, &header_about, &tag_about, NULL};

	return all;
}
