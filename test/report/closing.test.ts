// The last words of a training: a sparkline, the weakest classes, where everything is; colours only where they belong.
import { evaluationOf } from '../../dist/infer/evaluate.js';
import { closingText, sparkline, type Closing } from '../../dist/report/closing.js';
import { colourful } from '../../dist/report/colours.js';

test.each([
  [[0, 1], '▁█'],
  [[1, 2, 3, 4, 5, 6, 7, 8], '▁▂▃▄▅▆▇█'],
  [[5, 5, 5], '▄▄▄'],
  [[3], '▄'],
])('sparkline of %j', (values, expected) => expect(sparkline(values)).toBe(expected));
test('a long sparkline is thinned out, its last value stays', () => {
  const rising = Array.from({ length: 1000 }, (_, i) => i);
  expect(sparkline(rising)).toHaveLength(40);
  expect(sparkline(rising).at(-1)).toBe('█');
  expect(sparkline([...rising, 0]).at(-1)).toBe('▁');
});

describe('colours', () => {
  const before = { ...process.env };
  afterEach(() => {
    for (const name of ['NO_COLOR', 'TERM']) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });
  test.each([
    [true, undefined, 'xterm', true],
    [true, '', 'xterm', true],
    [true, '1', 'xterm', false],
    [true, '0', 'xterm', false],
    [true, undefined, 'dumb', false],
    [undefined, undefined, 'xterm', false],
  ])('terminal %j, NO_COLOR %j, TERM %s: %s', (isTTY, noColor, term, expected) => {
    if (noColor === undefined) delete process.env['NO_COLOR'];
    else process.env['NO_COLOR'] = noColor;
    process.env['TERM'] = term;
    expect(colourful(isTTY === undefined ? {} : { isTTY })).toBe(expected);
  });
});

const answer = (row: number, label: number, predicted: number) => ({
  row,
  label,
  predicted,
  probability: 0.9,
  loss: 1,
});
const evaluation = evaluationOf(
  ['ant', 'bee', 'cat'],
  [answer(0, 0, 0), answer(1, 0, 1), answer(2, 1, 1), answer(3, 1, 1), answer(4, 2, 2), answer(5, 0, 1)],
);
const phase = { loss: 1, accuracy: 0.5, seconds: 1, steps: 1, imagesPerSecond: 1 };
const history = [0.25, 0.75].map((accuracy, i) => ({
  ...{ event: 'epoch' as const, epoch: i + 1, epochs: 2, lr: 0.1, train: phase },
  valid: { ...phase, accuracy, macroF1: accuracy },
}));
const done: Closing = {
  event: { event: 'done', best: { epoch: 2, accuracy: 0.75 }, checkpoint: 'run/best.safetensors', seconds: 12.34 },
  ...{ history, evaluation, report: 'run/report.html', colours: false },
};

test('done: course, weakest classes, what was saved, where to look', () => {
  expect(closingText(done)).toBe(
    [
      'validation accuracy ▁█ 25.0 to 75.0%',
      'weakest classes        F1 precision    recall  images  mostly mistaken',
      'ant                 50.0%    100.0%     33.3%       3  2 as bee',
      'bee                 66.7%     50.0%    100.0%       2',
      'best validation accuracy 75.0% in epoch 2, 12.3 s in all',
      'saved run/best.safetensors',
      'look at run/report.html',
      'classify with: mnv2-torch predict run/best.safetensors <images...>',
      '',
    ].join('\n'),
  );
});
test('colours change nothing but the colours', () => {
  const coloured = closingText({ ...done, colours: true });
  expect(coloured).toContain('\x1b[1m75.0%\x1b[0m');
  // eslint-disable-next-line no-control-regex
  expect(coloured.replace(/\x1b\[\d+m/g, '')).toBe(closingText(done));
});
test('stopped, early and earlier', () => {
  const stopped: Closing = { ...done, event: { event: 'stopped', epoch: 1, checkpoint: 'run/last.safetensors' } };
  expect(closingText(stopped)).toMatch(
    /\nstopped after epoch 1; saved run\/last\.safetensors\nlook at run\/report\.html\n$/,
  );
  const none = { history: [], evaluation: undefined, report: undefined, colours: false };
  const first: Closing = { ...none, event: { event: 'stopped', epoch: 0, checkpoint: 'x' } };
  expect(closingText(first)).toBe('stopped in the first epoch, before it was validated; saved x\n');
  expect(closingText({ ...none, event: null })).toBe('stopped before the first step; nothing was trained\n');
});
