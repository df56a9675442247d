/** The plot of a comparison: held-out bits per byte against what training had spent, a line an architecture, as SVG. */

import type { Comparison } from './compare.js';

/** Draws a comparison. Nothing of the plotting library is loaded before. */
export async function plotComparison(comparison: Comparison): Promise<string> {
  const [{ parse, View }, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
  const values = comparison.models.flatMap(({ name, curve }) =>
    curve.map(({ flops, bitsPerByte }) => ({ name, flops, bitsPerByte })),
  );
  const { spec } = compile({
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    width: 560,
    height: 360,
    data: { values },
    mark: { type: 'line', point: true },
    encoding: {
      x: {
        field: 'flops',
        type: 'quantitative',
        scale: { type: 'log' },
        axis: { title: 'Floating-point operations of training (matrix products)', format: '.0e', grid: true },
      },
      y: {
        field: 'bitsPerByte',
        type: 'quantitative',
        scale: { zero: false },
        axis: { title: 'Bits per byte, held-out text' },
      },
      color: { field: 'name', type: 'nominal', sort: comparison.models.map(({ name }) => name), title: 'Architecture' },
    },
  });
  const view = new View(parse(spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
