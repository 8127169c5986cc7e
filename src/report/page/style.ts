import { cssVariables } from '../theme.ts';

/** The page's style: light and dark by the reader's preference, always light on paper. */
export const STYLE = `
:root{${cssVariables('light')};color-scheme:light}
@media screen and (prefers-color-scheme:dark){:root{${cssVariables('dark')};color-scheme:dark}}
*{box-sizing:border-box}
html{background:var(--surface);color:var(--ink);font:14.5px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;-webkit-text-size-adjust:100%}
body{max-width:1100px;margin:0 auto;padding:34px 28px 60px}
h1{font-size:25px;line-height:1.25;margin:0 0 4px;font-weight:650;letter-spacing:-.01em}
h2{font-size:18.5px;line-height:1.3;margin:0 0 10px;font-weight:650}
h3{font-size:14.5px;line-height:1.35;margin:0 0 8px;font-weight:650}
h3 .no,caption .no{color:var(--muted);font-weight:400;margin-right:.35em}
p{margin:0 0 9px;max-width:78ch}
a{color:var(--series1);text-underline-offset:2px}
:focus-visible{outline:2px solid var(--series1);outline-offset:2px}
.skip{position:absolute;left:-999px}
.skip:focus{left:12px;top:8px;background:var(--surface);padding:4px 8px}
.meta,.made,.note-to-table,figcaption,.files{color:var(--muted)}
.meta{margin-bottom:16px}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:0;padding:11px 0;border:solid var(--line);border-width:1px 0;font-size:13px}
.facts dt{color:var(--muted)}
.facts dd{margin:0;overflow-wrap:anywhere}
code,.hash{font-family:ui-monospace,"SF Mono","DejaVu Sans Mono",monospace;font-size:.92em}
.token,.prompt{font-family:ui-monospace,"SF Mono","DejaVu Sans Mono",monospace;font-size:.92em;white-space:pre-wrap;overflow-wrap:anywhere}
nav{margin:18px 0 0;font-size:13.5px}
nav h2{font-size:13px;margin:0 0 3px;color:var(--muted);font-weight:400}
nav ol{margin:0;padding:0;list-style:none}
nav>ol{columns:2;column-gap:36px}
nav li{break-inside:avoid}
nav ol ol{padding-left:1.3em;font-size:12.5px;margin-bottom:5px}
nav a{color:inherit;text-decoration:none}
nav a:hover{text-decoration:underline}
main>section{margin-top:34px;padding-top:17px;border-top:1px solid var(--line)}
.warning,.note{max-width:78ch;margin:0 0 11px;padding:6px 12px;border-left:3px solid var(--series5);background:var(--faint)}
.warning.bad{border-color:var(--accent)}
.note{border-color:var(--series1)}
.warning p:last-child,.note p:last-child{margin:0}
.figures{display:flex;flex-wrap:wrap;gap:24px 28px;align-items:flex-start;margin-top:15px}
figure{margin:0;max-width:100%}
.chart{overflow-x:auto}
.chart svg{display:block;max-width:100%;height:auto}
.chart text{font-variant-numeric:tabular-nums}
figcaption{font-size:12.5px;line-height:1.45;margin-top:7px}
figcaption p{margin:0 0 4px}
figcaption .caption{color:var(--ink)}
.made{max-width:none;font-size:11.5px;line-height:1.45;overflow-wrap:anywhere}
.made .item+.item::before{content:" · "}
.bad{color:var(--accent)}
abbr{text-decoration:none;border-bottom:1px dotted var(--muted)}
details{margin-top:5px;font-size:12.5px}
summary{cursor:pointer;color:var(--muted);width:max-content;max-width:100%}
.scroll{color:var(--ink);overflow:auto;max-height:430px;margin-top:6px}
table{border-collapse:separate;border-spacing:0;font-size:12.5px;font-variant-numeric:tabular-nums}
caption{text-align:left;white-space:nowrap;font-weight:650;font-size:14.5px;padding-bottom:5px}
th,td{padding:2px 11px 2px 0;text-align:left;vertical-align:baseline}
th{font-weight:400;color:var(--muted);white-space:nowrap}
thead th{vertical-align:bottom}
tbody tr:first-child>*{padding-top:4px}
.num{text-align:right}
th:last-child,td:last-child{padding-right:4px}
.table{margin-top:20px}
.table .scroll{max-height:620px}
.scroll thead th{position:sticky;top:0;background:var(--surface);border-bottom:1px solid var(--line)}
.note-to-table{font-size:12.5px;margin-top:5px}
footer{margin-top:38px;padding-top:11px;border-top:1px solid var(--line);color:var(--muted);font-size:12.5px}
@media (max-width:760px){body{padding:18px 14px}nav>ol{columns:1}}
@media print{
html{font-size:10.5pt}
body{max-width:none;padding:0}
.skip{display:none}
figure,.table tr,.warning,.note{break-inside:avoid}
h2,h3{break-after:avoid}
.scroll{max-height:none;overflow:visible}
details:not([open]){display:none}
}
`.trim();
