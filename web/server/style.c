/* The console's style sheet: system fonts, light and dark, contrast of 4.5:1 and more. */
#include "web/server/page.h"

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1c2430;--soft:#566173;--paper:#f5f6f8;--card:#fff;"
    "--line:#d8dde5;--good:#0b6b3a;--good-bg:#e3f4ea;--bad:#9b1c1c;--bad-bg:#fdeaea;--link:#1d4ed8}"
    "\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#a3aebd;--paper:#12161c;"
    "--card:#1b212a;--line:#333c49;--good:#7fd8a5;--good-bg:#12301f;--bad:#ffaaaa;"
    "--bad-bg:#3a1717;--link:#8fb4ff}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "header{display:flex;gap:1rem;align-items:baseline;padding:.9rem 1.5rem;background:var(--card);"
    "border-bottom:1px solid var(--line)}\n"
    "header span{color:var(--soft)}\n"
    ".brand{font-weight:700;font-size:1.2rem;color:var(--ink);text-decoration:none}\n"
    "main{max-width:64rem;margin:0 auto;padding:1.5rem}\n"
    "h1{font-size:1.3rem;margin:0 0 .5rem}\n"
    "h2{font-size:1rem;margin:0 0 .6rem}\n"
    "a{color:var(--link)}\n"
    "a:focus-visible{outline:3px solid var(--link);outline-offset:2px}\n"
    "section,.state{background:var(--card);border:1px solid var(--line);border-radius:.5rem;"
    "padding:1rem 1.25rem;margin:0 0 1.25rem}\n"
    ".state.good{background:var(--good-bg);color:var(--good);border-color:currentColor}\n"
    ".state.bad{background:var(--bad-bg);color:var(--bad);border-color:currentColor}\n"
    ".state dt{font-weight:600}\n"
    ".state dd{margin:0 0 .6rem;color:var(--ink)}\n"
    ".figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr));gap:1rem;"
    "margin:0}\n"
    ".figures dt{color:var(--soft);font-size:.85rem}\n"
    ".figures dd{margin:0;font-size:1.15rem;font-variant-numeric:tabular-nums;"
    "overflow-wrap:anywhere}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "th,td{text-align:left;padding:.45rem .75rem .45rem 0;border-bottom:1px solid var(--line)}\n"
    "th{color:var(--soft);font-size:.85rem;font-weight:600}\n"
    "td.number{font-variant-numeric:tabular-nums}\n"
    ".mark{border:1px solid currentColor;border-radius:1rem;padding:.05rem "
    ".6rem;font-size:.85rem}\n"
    ".mark.ready,.mark.running,.mark.up{color:var(--good)}\n"
    ".mark.down,.mark.failed,.mark.stopped{color:var(--bad)}\n"
    ".card{max-width:36rem;margin:3rem auto}\n"
    "code{background:var(--paper);padding:.1rem .3rem;border-radius:.25rem}\n"
    ".button{display:inline-block;padding:.45rem 1rem;border:1px solid var(--line);"
    "border-radius:.4rem;background:var(--card);text-decoration:none}\n";

struct span
page_style(void)
{
	return span_of(style, sizeof(style) - 1);
}
