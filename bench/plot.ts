/**
 * Curves as SVG, both axes logarithmic.
 *
 * @module
 */

/** One curve. */
export interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

const width = 640;
const height = 360;
const left = 60;
const right = 150;
const top = 36;
const bottom = 48;
const colours = ["#1b6ca8", "#7ab3d9", "#b8500f", "#e8a06a", "#2f7d4f", "#8cc9a3"];

/**
 * Draws curves.
 *
 * @param title Above.
 * @param xName Under the horizontal axis.
 * @param yName Beside the vertical axis.
 * @param curves What to draw.
 * @returns An SVG document.
 */
export function plot(title: string, xName: string, yName: string, curves: readonly Curve[]): string {
  const points = curves.flatMap((curve) => curve.points);
  const x = scale(points.map(([x]) => x), left, width - right);
  const y = scale(points.map(([, y]) => y), height - bottom, top);
  const grid = [
    ...x.ticks.map((tick) =>
      `<line x1="${x.at(tick)}" x2="${x.at(tick)}" y1="${top}" y2="${height - bottom}" stroke="#ddd"/>` +
      text(x.at(tick), height - bottom + 16, label(tick), "middle")
    ),
    ...y.ticks.map((tick) =>
      `<line x1="${left}" x2="${width - right}" y1="${y.at(tick)}" y2="${y.at(tick)}" stroke="#ddd"/>` +
      text(left - 6, y.at(tick) + 4, label(tick), "end")
    ),
  ];
  const lines = curves.map(({ name, points }, i) => {
    const colour = colours[i % colours.length] ?? "#000";
    const places = points.map(([px, py]) => [x.at(px), y.at(py)] as const);
    const legendY = top + 12 + 20 * i;
    return `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${
      places.map((place) => place.join(",")).join(" ")
    }"/>` +
      places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${colour}"/>`).join("") +
      `<rect x="${width - right + 12}" y="${legendY - 8}" width="10" height="10" fill="${colour}"/>` +
      text(width - right + 28, legendY + 1, name, "start");
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${left}" y="20" font-size="14" font-weight="bold">${escape(title)}</text>`,
    ...grid,
    ...lines,
    text((left + width - right) / 2, height - 10, xName, "middle"),
    `<text transform="translate(16 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">${
      escape(yName)
    }</text>`,
    "</svg>\n",
  ].join("\n");
}

function scale(values: readonly number[], from: number, to: number) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  const at = (value: number) => Math.round((from + (to - from) * (Math.log10(value) - low) / (high - low)) * 10) / 10;
  return { ticks, at };
}

function text(x: number, y: number, words: string, anchor: "start" | "middle" | "end"): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${escape(words)}</text>`;
}

function label(value: number): string {
  return value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : String(Number(value.toPrecision(1)));
}

function escape(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
