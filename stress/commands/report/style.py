"""The page's style: readable on a phone, light and dark, and never by colour alone. And its one script."""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#57606a;--line:#d0d7de;--soft:#f6f8fa;
--green:#116329;--teal:#0550ae;--red:#b3141d;--amber:#7d4e00;--bar:#0969da;--warn:#fff8c5}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9aa4af;--line:#30363d;--soft:#161b22;
--green:#56d364;--teal:#79c0ff;--red:#ff8078;--amber:#e3b341;--bar:#58a6ff;--warn:#2d2609}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:80rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;overflow-wrap:break-word}
h1{font-size:1.5rem;margin:.2rem 0 .6rem}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.2rem 0 .4rem}
p{margin:.4rem 0}.dim,caption,small{color:var(--dim)}small{font-size:.85em}
.note{background:var(--warn);border:1px solid var(--line);border-radius:6px;padding:.5rem .8rem;margin:.6rem 0}
.scroll{overflow-x:auto;margin:.4rem 0}
table{border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:normal}
thead th{background:var(--soft);white-space:nowrap}tbody th{font-weight:400}
.matrix td{white-space:nowrap;font-variant-numeric:tabular-nums}
.name{font:.85em ui-monospace,Menlo,Consolas,monospace}
.file th{padding-top:.7rem;color:var(--dim);border-bottom:0}.file+tr th,.file~tr th{padding-left:1rem}.file~.file th{padding-left:.6rem}
.rates{width:100%}.rates .bar{width:12.5rem}.rates td{white-space:nowrap}
nav ol{margin:.2rem 0;padding-left:1.6rem}nav h2{margin-top:.2rem;font-size:1rem}
.halves>*{min-width:0}
.pass{color:var(--green)}.interesting{color:var(--teal)}.bad{color:var(--red);font-weight:600}.unsure{color:var(--amber)}
pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:.6rem;overflow-x:auto;
font:.8rem/1.4 ui-monospace,Menlo,Consolas,monospace;margin:.4rem 0}
code{overflow-wrap:anywhere;font:.85em ui-monospace,Menlo,Consolas,monospace;background:var(--soft);padding:.05rem .25rem;border-radius:4px}
code.copy{cursor:copy;user-select:all}code.copy.done::after{content:" copied";color:var(--green)}
details{border:1px solid var(--line);border-radius:6px;padding:.4rem .8rem;margin:.5rem 0}
summary{cursor:pointer;font-weight:600}
svg{display:block;max-width:none}svg text{fill:var(--dim);font:11px system-ui,sans-serif}
svg .axis{stroke:var(--line);stroke-width:1}svg .whisker{stroke:var(--bar);stroke-width:2;fill:none}
svg .mark{stroke:var(--amber);stroke-width:1;stroke-dasharray:3 2;fill:none}svg .dot{fill:var(--bar)}svg .dots{stroke:var(--bar);stroke-width:5;stroke-linecap:round;fill:none}
svg .zero{stroke:var(--green);stroke-width:5;stroke-linecap:round;fill:none}
.s0{color:var(--bar);stroke:var(--bar);fill:var(--bar)}.s1{color:var(--red);stroke:var(--red);fill:var(--red)}.s2{color:var(--amber);stroke:var(--amber);fill:var(--amber)}
.s3{color:var(--green);stroke:var(--green);fill:var(--green)}.curve{fill:none;stroke-width:2}
ul{margin:.4rem 0;padding-left:1.2rem}
a{color:var(--teal);overflow-wrap:anywhere}
@media(min-width:68rem){.halves{display:grid;grid-template-columns:minmax(0,11fr) minmax(0,9fr);column-gap:2rem}
.top{grid-template-columns:minmax(0,3fr) minmax(0,2fr)}}
@media(max-width:40rem){body{padding:.6rem}h1{font-size:1.25rem}th,td{padding:.2rem .4rem}details{padding:.4rem .5rem}
.matrix td{white-space:normal}
.rates,.rates tbody{display:block}.rates thead{display:none}.rates tr{display:grid;grid-template-columns:1fr 1fr;border-bottom:1px solid var(--line)}
.rates th,.rates .bar,.rates td:only-of-type{grid-column:1/-1;width:auto}.rates th,.rates td{border-bottom:0;min-width:0}
.rates .bar{order:1}.rates td[data-name]::before{content:attr(data-name) " ";color:var(--dim);font-size:.85em}}
@media print{details{break-inside:avoid}}
"""

COPY_SCRIPT = """
document.addEventListener("click",function(event){
var line=event.target.closest("code.copy");
if(!line)return;
var done=function(){line.classList.add("done");setTimeout(function(){line.classList.remove("done")},2000)};
if(navigator.clipboard&&window.isSecureContext){navigator.clipboard.writeText(line.textContent).then(done,function(){});return}
getSelection().selectAllChildren(line);
if(document.execCommand("copy"))done();
});
"""
"""Copies the command that is clicked. Without scripts, a click selects it whole."""
COPY_HASH = f"sha256-{base64.b64encode(hashlib.sha256(COPY_SCRIPT.encode()).digest()).decode()}"
"""What the page's policy lets run."""
