import * as echarts from 'echarts';
import type { EChartsOption } from 'echarts';

// How every plot looks. The background is opaque: pages are light or dark, and an image cannot tell.

/** Distinguishable for the colour-blind too (Okabe and Ito). */
export const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7'] as const;

const INK = '#24292f';
const FAINT = '#d0d7de';
const WIDTH = 760;
const HEIGHT = 340;
const FONT = 'Helvetica, Arial, sans-serif';

export const axisLook = {
  nameLocation: 'middle',
  nameTextStyle: { color: INK, fontSize: 13 },
  axisLabel: { color: INK, fontSize: 12 },
  axisLine: { show: true, lineStyle: { color: INK } },
  splitLine: { show: true, lineStyle: { color: FAINT } },
  minorSplitLine: { show: false },
} as const;

export const labelLook = { show: true, color: INK, fontSize: 12 } as const;

/** A title for one of several grids. */
export const heading = (text: string, left: string) =>
  ({ text, left, top: 12, textStyle: { color: INK, fontSize: 15, fontWeight: 'bold' } }) as const;

/** The gap is wide because there is no font to measure with: the library guesses how long a text becomes. */
export const legendLook = {
  bottom: 8,
  icon: 'roundRect',
  itemWidth: 16,
  itemHeight: 10,
  itemGap: 34,
  textStyle: { color: INK, fontSize: 12 },
} as const;

/** Draws an option as SVG: the same option always gives the same text. */
export function draw(name: string, option: EChartsOption, height = HEIGHT): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: '#ffffff',
      color: [...COLOURS],
      textStyle: { fontFamily: FONT, color: INK },
      ...option,
    });
    return `${forImage(chart.renderToSVGString(), name)}\n`;
  } finally {
    chart.dispose();
  }
}

/** Removes what only a page with scripts uses, and names that the library numbers for the life of the process. */
function forImage(svg: string, name: string): string {
  return svg
    .replaceAll(/<style[^]*?<\/style>\s*/g, '')
    .replaceAll(/ (?:class|ecmeta_\w+)="[^"]*"/g, '')
    .replaceAll(/\bzr\d+-/g, `${name}-`);
}
