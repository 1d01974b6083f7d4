"""The frame and the style of a page: light and dark, screen and print, no outside requests."""

DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>@title@</title>
<style>
:root {
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2430; --soft: #5b6472; --rule: #e0ddd4; --grid: #ebe8e0;
  --first: #1f5fae; --second: #c2571a; --pass: #1d7044; --notice: #8a5a00; --fail: #b3261e; --link: #1f5fae;
  --pass-bg: #e5f3ea; --notice-bg: #fbf0d9; --fail-bg: #fbe6e4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12151b; --card: #191d25; --ink: #e6e9ee; --soft: #a2abb8; --rule: #2e3440; --grid: #262b35;
    --first: #7db4ff; --second: #ffa268; --pass: #6ed79c; --notice: #f0c060; --fail: #ff8f85;
  --link: #7db4ff;
    --pass-bg: #16301f; --notice-bg: #35290f; --fail-bg: #3d1a17;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 "Inter", "Source Sans 3", system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
header { margin-bottom: 2.5rem; }
h1 { font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.15; letter-spacing: -.015em;
  margin: .2rem 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; letter-spacing: -.005em; margin: 0 0 .9rem; }
.kicker { color: var(--soft); margin: 0; }
.lead { font-size: 1.2rem; margin: 0 0 .8rem; }
.meta { color: var(--soft); margin: 0; }
code { font: .88em/1.4 ui-monospace, "JetBrains Mono", "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; }
a { color: var(--link); }
.badge { display: inline-block; padding: .15rem .8rem; border-radius: 1rem; text-decoration: none;
  font-weight: 600; font-size: .92rem; }
.badge:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.pass { --tone: var(--pass); --tone-bg: var(--pass-bg); } .notice { --tone: var(--notice);
  --tone-bg: var(--notice-bg); }
.fail { --tone: var(--fail); --tone-bg: var(--fail-bg); }
.badge, .sign { color: var(--tone); background: var(--tone-bg); }
section { background: var(--card); border: 1px solid var(--rule); border-radius: .8rem;
  padding: 1.4rem 1.5rem; margin: 0 0 1.4rem; }
figure { margin: 0; }
figcaption, .note { color: var(--soft); font-size: .92rem; margin: .8rem 0 0; max-width: 52rem; }
.preview { display: block; width: 100%; height: auto; border-radius: .5rem; }
.plot { display: block; width: 100%; height: auto; font: 15px system-ui, -apple-system, "Segoe UI",
  "Noto Sans", sans-serif; }
.plot text { fill: var(--ink); } .plot .tick { fill: var(--soft); font-size: 14px;
  font-variant-numeric: tabular-nums; }
.plot .frame { fill: none; stroke: var(--soft); } .plot .grid { stroke: var(--grid); }
  .plot .mark { stroke: var(--soft); }
.plot path { fill: none; }
.dots { stroke-width: 4.6; stroke-linecap: round; } .bars { stroke-width: 1.1; opacity: .55; }
  .line { stroke-width: 2; stroke-linejoin: round; }
.s0 { stroke: var(--first); } .s1 { stroke: var(--second); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.numbers { margin-top: 1.2rem; width: auto; min-width: min(100%, 30rem); }
caption { text-align: left; font-weight: 650; padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .42rem 1rem .42rem 0;
  border-top: 1px solid var(--rule); }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: .9rem; }
tbody th { font-weight: 500; color: var(--soft); white-space: nowrap; }
.scroll { overflow-x: auto; }
.checks { list-style: none; margin: 0; padding: 0; }
.checks li { display: grid; grid-template-columns: 1.9rem 1fr; gap: .8rem; padding: .7rem 0;
  border-top: 1px solid var(--rule); }
.checks li:first-child { border-top: 0; padding-top: 0; }
.checks p { margin: .1rem 0 0; color: var(--soft); }
.sign { width: 1.9rem; height: 1.9rem; border-radius: 50%; display: grid; place-items: center;
  font-weight: 700; }
@media print { body { background: #fff; } section { break-inside: avoid; border-color: #ccc; } }
</style>
</head>
<body><main>
@body@
</main></body>
</html>
"""
