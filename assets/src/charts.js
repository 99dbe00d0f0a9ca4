// Draws the charts of the page of metrics out of what stands in it: hover reads
// all of them at once, a drag is a zoom, and after each refresh they go on.
(() => {
  "use strict";

  const drawn = new Map(); // figure's id → {plot, data}
  const dashes = [[], [7, 4], [2, 3]];

  function figures() {
    return document.querySelectorAll("figure.chart");
  }

  // One line of the figure: label, colour and where its value is read.
  function lines(figure) {
    return [...figure.querySelectorAll(".legend-line")];
  }

  function read(figure) {
    const values = figure.querySelector(".values");
    const { begin, step, series } = JSON.parse(values.dataset.points);
    const count = Math.max(0, ...series.map((s) => s.length));
    const times = Array.from({ length: count }, (_, i) => begin + i * step);
    return { from: +values.dataset.from, to: +values.dataset.to, data: [times, ...series] };
  }

  function scaled(value, units, by) {
    let i = 0;
    while (Math.abs(value) >= by && i < units.length - 1) {
      value /= by;
      i++;
    }
    return +value.toPrecision(3) + " " + units[i];
  }

  function written(value, kind) {
    if (value == null) return "–";
    switch (kind) {
      case "bytes": return scaled(value, ["B", "kB", "MB", "GB", "TB"], 1000);
      case "bytes a second": return scaled(value, ["B", "kB", "MB", "GB", "TB"], 1000) + "/s";
      case "percent": return +value.toPrecision(3) + " %";
      case "seconds": return value < 60 ? +value.toPrecision(2) + " s" : value < 3600 ? +(value / 60).toPrecision(2) + " min" : +(value / 3600).toPrecision(3) + " h";
      case "×": return +value.toPrecision(2) + "×";
    }
    return String(+value.toPrecision(3));
  }

  const clock = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });

  function tell(figure, plot) {
    const kind = figure.dataset.kind;
    const at = plot.cursor.idx;
    const hovers = at != null && plot.cursor.left >= 0;
    lines(figure).forEach((line, i) => {
      const out = line.querySelector(".reading");
      const text = hovers ? written(plot.data[i + 1][at], kind) : out.dataset.last;
      if (out.textContent !== text) out.textContent = text;
    });
    const when = hovers ? clock.format(new Date(plot.data[0][at] * 1000)) : "";
    const out = figure.querySelector(".reading-time");
    if (out.textContent !== when) out.textContent = when;
  }

  function options(figure, from, to, box) {
    const kind = figure.dataset.kind;
    const colour = (selector) => getComputedStyle(figure.querySelector(selector)).color;
    const axis = () => colour(".reading-time");
    const grid = { stroke: () => getComputedStyle(box).borderTopColor, width: 1 };
    const font = "12px system-ui, sans-serif";
    return {
      width: box.clientWidth,
      height: box.clientHeight,
      legend: { show: false },
      scales: { x: { range: () => [figure.from, figure.to] }, y: { range: (_, min, max) => [Math.min(0, min ?? 0), max > 0 ? max * 1.1 : 1] } },
      axes: [
        { stroke: axis, grid, ticks: grid, font },
        { stroke: axis, grid, ticks: grid, font, size: 64, values: (_, ticks) => ticks.map((v) => written(v, kind)) },
      ],
      series: [{}, ...lines(figure).map((line, i) => ({
        label: line.dataset.label,
        stroke: () => getComputedStyle(line.querySelector(".mark")).color,
        width: 1.5,
        dash: dashes[i],
        spanGaps: false,
        points: { show: false },
      }))],
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, sync: { key: "metrics" } },
      hooks: {
        setCursor: [(plot) => tell(figure, plot)],
        setSelect: [(plot) => {
          if (plot.select.width < 8 || plot.cursor.event?.type !== "mouseup") return;
          const at = (x) => Math.round(plot.posToVal(x, "x"));
          zoom(at(plot.select.left), at(plot.select.left + plot.select.width));
        }],
      },
    };
  }

  function zoom(from, to) {
    if (to - from < 60) from = to - 60;
    location.assign(location.pathname + "?from=" + from + "&to=" + to);
  }

  function draw() {
    for (const figure of figures()) {
      const now = read(figure);
      figure.from = now.from;
      figure.to = now.to;
      const box = figure.querySelector(".plot");
      const before = drawn.get(figure.id);
      if (before && before.box === box) {
        before.plot.setData(now.data);
        tell(figure, before.plot);
        continue;
      }
      box.hidden = false;
      const plot = new uPlot(options(figure, now.from, now.to, box), now.data, box);
      drawn.set(figure.id, { plot, box });
      new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: box.clientHeight })).observe(box);
    }
  }

  function copies() {
    for (const button of document.querySelectorAll("button.copy")) button.hidden = false;
  }
  document.addEventListener("click", async (e) => {
    const button = e.target.closest("button.copy");
    if (!button) return;
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch { // not a secure context: by the selection
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });

  draw();
  copies();
  document.addEventListener("htmx:after:swap", () => { draw(); copies(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const { plot } of drawn.values()) plot.redraw(false, true);
  });
})();
