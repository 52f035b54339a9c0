// The page's looks: quiet paper, two tones for two lines, one for what is wrong; light, dark, and as narrow as a phone.

export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #faf9f6; --card: #ffffff; --ink: #1f1e1b; --soft: #625e56; --rule: #e5e1d8; --faint: #f1eee7;
  --train: #b4560a; --valid: #1a6a94; --bad: #a8321f; --bad-fill: 197 68 42; --good-fill: 92 116 128; --bar: #d5dee3; --score: #cfe0d6;
  --on-fill: #1f1e1b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161614; --card: #1e1d1b; --ink: #ebe8e1; --soft: #a8a297; --rule: #35322d; --faint: #262420;
    --train: #f0a05a; --valid: #74bbe2; --bad: #f08a74; --bad-fill: 214 84 54; --good-fill: 120 146 158; --bar: #32424b; --score: #2d463a;
    --on-fill: #ffffff;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; }
header, main, footer { max-width: 1160px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 36px; }
h1 { font-size: 26px; line-height: 1.2; letter-spacing: -0.01em; margin: 0 0 4px; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 17px; line-height: 1.3; margin: 0 0 6px; font-weight: 650; }
h3 { font-size: 15px; margin: 0; font-weight: 650; overflow-wrap: anywhere; }
header p { margin: 0; overflow-wrap: anywhere; }
.when, .judged, .lead, .about, .said, footer, small, figcaption, dt, .figures span, .empty { color: var(--soft); }
.when, .judged, .about, .said, footer, small { font-size: 13px; }
.state { display: inline-block; padding: 0 7px; border: 1px solid currentColor; border-radius: 9px; font-size: 12px; line-height: 17px; margin-right: 6px; }
.state.running { color: var(--valid); } .state.failed, .state.diverged { color: var(--bad); }
section { margin-top: 40px; scroll-margin-top: 12px; }
.lead { margin: 0 0 12px; max-width: 74ch; }
a { color: inherit; text-decoration-color: var(--rule); text-underline-offset: 3px; } a:hover { text-decoration-color: currentColor; }
:focus-visible { outline: 2px solid var(--valid); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -999px; } .skip:focus { left: 12px; top: 8px; background: var(--card); padding: 4px 10px; z-index: 9; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px; margin: 24px 0 0; background: var(--rule); border: 1px solid var(--rule); border-radius: 8px; overflow: hidden; }
.figures div { background: var(--card); padding: 12px 16px 11px; }
.figures dt { font-size: 13px; } .figures dd { margin: 0; } .figures strong { display: block; font-size: 24px; line-height: 1.25; font-weight: 600; letter-spacing: -0.01em; } .figures span { font-size: 12.5px; }
.judged { margin: 8px 0 0; }
.findings { margin: 8px 0 0; padding: 0; list-style: none; max-width: 86ch; }
.findings li { padding: 7px 0 7px 16px; border-top: 1px solid var(--rule); position: relative; overflow-wrap: anywhere; } .findings li:last-child { border-bottom: 1px solid var(--rule); }
.findings li::before { content: ""; position: absolute; left: 0; top: 15px; width: 6px; height: 6px; border-radius: 3px; background: var(--train); }

.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(290px, 1fr)); gap: 20px 28px; margin-top: 10px; }
.chart { margin: 0; min-width: 0; } .chart figcaption { color: var(--ink); font-size: 13.5px; font-weight: 550; display: flex; justify-content: space-between; gap: 10px; flex-wrap: wrap; }
.chart svg { display: block; width: 100%; height: auto; margin-top: 2px; overflow: visible; }
.legend { font-weight: 400; color: var(--soft); } .key { margin-left: 12px; white-space: nowrap; } .key::before { content: ""; display: inline-block; width: 14px; height: 0; border-top: 2px solid currentColor; vertical-align: 4px; margin-right: 5px; }
.key.train { color: var(--train); } .key.valid { color: var(--valid); }
svg .grid { stroke: var(--rule); stroke-width: 1; } svg .tick { fill: var(--soft); font-size: 11px; }
svg .mark { stroke: var(--soft); stroke-dasharray: 2 3; stroke-width: 1; }
svg .line { fill: none; stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round; }
svg .line.train { stroke: var(--train); } svg .line.valid { stroke: var(--valid); } svg .line.plain { stroke: var(--soft); }
svg .dot.train { fill: var(--train); } svg .dot.valid { fill: var(--valid); } svg .dot.plain { fill: var(--soft); }
svg .bin { fill: var(--valid); opacity: calc(0.15 + 0.6 * var(--weight)); } svg .ideal { stroke: var(--soft); stroke-dasharray: 4 3; }
.scatter { max-width: 380px; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--soft); font-size: 13px; width: fit-content; }

.scroll { overflow-x: auto; max-width: 100%; } .scroll > table { margin-bottom: 4px; }
table { border-collapse: collapse; font-size: 13.5px; } th { font-weight: 500; text-align: left; }
.numbers th, .numbers td, .classes th, .classes td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
.numbers td, .classes td { text-align: right; } .numbers thead th, .classes thead th { color: var(--soft); font-size: 12.5px; text-align: right; vertical-align: bottom; }
.numbers thead th:first-child, .classes thead th:first-child, .classes .text, .classes thead .text { text-align: left; }
.numbers { margin-top: 8px; } .numbers .best th, .numbers .best td { font-weight: 650; }
.classes { width: 100%; min-width: 560px; } .classes .text { padding-left: 14px; } .classes tbody th { max-width: 260px; overflow: hidden; text-overflow: ellipsis; }
.bar { position: relative; min-width: 84px; } .bar::before { content: ""; position: absolute; right: 12px; top: 3px; bottom: 3px; width: calc((100% - 12px) * var(--share)); border-radius: 2px; background: var(--bar); } .bar.score::before { background: var(--score); } .bar span { position: relative; padding-right: 5px; }

.matrix { display: grid; gap: 18px 26px; align-items: start; }
@media (min-width: 1080px) { .matrix:not(.wide) { grid-template-columns: minmax(0, auto) minmax(310px, 1fr); } .matrix:not(.wide) .behind { position: sticky; top: 12px; } }
.confusion { border-collapse: separate; border-spacing: 1px; font-size: 12.5px; }
.confusion th, .confusion td { padding: 0; } .confusion tbody th { position: sticky; left: 0; background: var(--paper); padding: 0 8px 0 0; text-align: right; font-weight: 400; max-width: 170px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; z-index: 1; }
.confusion thead th { vertical-align: bottom; height: 1px; font-weight: 400; } .confusion thead th span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 150px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; padding: 0 0 5px; margin: 0 auto; display: block; line-height: 1.2; }
.corner { position: sticky; left: 0; background: var(--paper); z-index: 1; }
.confusion tbody td { width: 26px; min-width: 26px; height: 26px; background: var(--faint); border-radius: 3px; }
.confusion tbody td.right { background: rgb(var(--good-fill) / 0.14); }
.confusion button { all: unset; box-sizing: border-box; display: block; width: 100%; height: 26px; line-height: 26px; text-align: center; cursor: pointer; border-radius: 3px; color: var(--on-fill); font-size: 12px; }
.confusion .right button { background: rgb(var(--good-fill) / calc(0.3 * var(--weight))); color: var(--ink); } .confusion .wrong button { background: rgb(var(--bad-fill) / calc(0.55 * var(--weight))); font-weight: 650; }
.confusion button:hover { box-shadow: inset 0 0 0 1.5px var(--soft); } .confusion button[aria-pressed="true"] { box-shadow: inset 0 0 0 2px var(--ink); }
.confusion button:focus-visible { outline: 2px solid var(--valid); outline-offset: 1px; }
.behind { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 14px 16px; min-width: 0; } .behind .about { margin: 1px 0 12px; } .empty { margin: 0; }
.thumbs { display: grid; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); gap: 12px; } .thumbs figure { margin: 0; min-width: 0; }
img { display: block; border-radius: 4px; background: var(--faint); } .thumbs img { width: 100%; height: auto; aspect-ratio: 1; }
.thumbs figcaption { font-size: 12px; line-height: 1.35; margin-top: 4px; } .thumbs span { display: block; } .thumbs .said { font-size: 12px; } .file { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; direction: ltr; } .thumbs .file { color: var(--ink); }

.mistakes { list-style: none; margin: 0; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 22px 20px; }
.mistakes li { min-width: 0; } .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 3px; max-width: 323px; } .pair img { width: 100%; height: auto; aspect-ratio: 1; } .pair img:only-child { grid-column: span 2; max-width: 160px; }
.mistakes p { margin: 0; } .verdict { padding-top: 6px; line-height: 1.35; overflow-wrap: anywhere; } .verdict b { font-weight: 600; } .bad { color: var(--bad); }
.calibration { display: grid; grid-template-columns: minmax(0, 340px) minmax(0, 1fr); gap: 20px 36px; align-items: start; }
.details { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 24px 48px; align-items: start; }
.pairs { width: 100%; table-layout: fixed; } .pairs caption { text-align: left; font-weight: 600; font-size: 14px; padding-bottom: 4px; } .pairs th { width: 42%; color: var(--soft); font-weight: 400; } .pairs th, .pairs td { padding: 4px 10px 4px 0; border-top: 1px solid var(--rule); vertical-align: top; overflow-wrap: anywhere; } .mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12.5px; }
.layer { margin: 16px 0 0; } .layer b { color: var(--ink); font-weight: 600; margin-right: 8px; } .kernels { display: block; width: 100%; min-width: 720px; height: auto; margin-top: 4px; background: var(--card); } .kernels image { image-rendering: pixelated; }
.kernels rect { fill: none; stroke: var(--bad); stroke-width: 0.6; } .kernels .empty { fill: rgb(var(--bad-fill) / 0.45); } .kernels .silent { stroke-dasharray: 1 0.7; }
footer { padding-top: 40px; padding-bottom: 36px; }
@media (max-width: 640px) {
  header, main, footer { padding-left: 16px; padding-right: 16px; } header { padding-top: 22px; } section { margin-top: 32px; } h1 { font-size: 22px; }
  .figures { grid-template-columns: 1fr 1fr; } .figures div { padding: 10px 12px; } .figures strong { font-size: 20px; } .figures div:last-child:nth-child(odd) { grid-column: span 2; }
  .calibration { grid-template-columns: minmax(0, 1fr); } .chart.reliability { max-width: 320px; } .mistakes { grid-template-columns: minmax(0, 1fr); } .confusion tbody th { max-width: 104px; } .charts { grid-template-columns: minmax(0, 1fr); }
}
@media print { .skip, details > summary { display: none; } section { break-inside: avoid; } }
`;
