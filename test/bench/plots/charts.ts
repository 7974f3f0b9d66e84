import type { EChartsOption } from 'echarts';
import type { Contender, Growth, LatenessSeries, Pair } from './figures';
import { count } from './figures';
import { axisLook, COLOURS, heading, labelLook, legendLook } from './paper';

/** The share of checks that the lateness plot shows: the last few would squeeze the rest together. */
const SHOWN = 0.995;

export function latenessChart(series: LatenessSeries[]): EChartsOption {
  const farthest = Math.max(
    ...series.map(({ distribution, p99 }) =>
      Math.max(p99, distribution[Math.floor(SHOWN * (distribution.length - 1))] ?? 0),
    ),
  );
  return {
    title: heading('Lateness of checks', 'center'),
    legend: legendLook,
    grid: { left: 70, right: 30, top: 50, bottom: 85 },
    xAxis: {
      ...axisLook,
      type: 'value',
      name: 'ms after the due time',
      nameGap: 28,
      min: 0,
      max: roundUp(farthest * 1.05),
    },
    yAxis: { ...axisLook, type: 'value', name: 'checks made by then, %', nameGap: 42, min: 0, max: 100 },
    series: series.map(({ name, distribution, p99 }) => ({
      type: 'line',
      name: `${name} (p99 ${p99.toFixed(0)} ms)`,
      showSymbol: false,
      lineStyle: { width: 2 },
      data: distribution.map((ms, index) => [round(ms), round((100 * (index + 1)) / distribution.length)]),
    })),
  };
}

const AFTER_SWEEP = 'after a sweep';
const ASLEEP = 'while they sleep';

export function growthChart({ sweeps, sleepers }: Growth): EChartsOption {
  const most = Math.max(0, ...[...sweeps, ...sleepers].map(({ memory }) => memory));
  return {
    title: [heading('Time of one sweep', '12%'), heading("Worker's memory", '66%')],
    legend: { ...legendLook, data: [AFTER_SWEEP, ASLEEP], left: '57%' },
    grid: [
      { left: 70, right: '56%', top: 50, bottom: 85 },
      { left: '56%', right: 30, top: 50, bottom: 85 },
    ],
    xAxis: [
      {
        ...logAxis(
          'expired orders',
          sweeps.map(({ orders }) => orders),
        ),
        gridIndex: 0,
      },
      {
        ...logAxis('orders, or payments', [
          ...sweeps.map(({ orders }) => orders),
          ...sleepers.map((it) => it.sleepers),
        ]),
        gridIndex: 1,
      },
    ],
    yAxis: [
      {
        ...logAxis(
          'seconds',
          sweeps.map((sweep) => sweep.seconds),
        ),
        nameGap: 48,
        gridIndex: 0,
      },
      {
        ...axisLook,
        type: 'value',
        name: 'MB',
        nameGap: 44,
        min: 0,
        max: Math.ceil((most * 1.1) / 100) * 100,
        gridIndex: 1,
      },
    ],
    series: [
      {
        ...line,
        xAxisIndex: 0,
        yAxisIndex: 0,
        color: COLOURS[0],
        label: {
          ...labelLook,
          formatter: ({ dataIndex }: { dataIndex: number }) =>
            `${seconds(sweeps[dataIndex]?.seconds ?? 0)} s`,
        },
        data: sweeps.map((sweep, index) => ({
          value: [sweep.orders, round(sweep.seconds)],
          label: { position: index === sweeps.length - 1 ? 'left' : 'right' },
        })),
      },
      {
        ...line,
        name: AFTER_SWEEP,
        xAxisIndex: 1,
        yAxisIndex: 1,
        color: COLOURS[0],
        data: sweeps.map(({ orders, memory }) => [orders, memory]),
      },
      {
        ...line,
        name: ASLEEP,
        xAxisIndex: 1,
        yAxisIndex: 1,
        color: COLOURS[1],
        data: sleepers.map((sample) => [sample.sleepers, sample.memory]),
      },
    ],
  };
}

const line = { type: 'line', symbol: 'circle', symbolSize: 7, lineStyle: { width: 2 } } as const;

/** From the power of ten below the values to the one above them. */
const logAxis = (name: string, values: number[]) =>
  ({
    ...axisLook,
    type: 'log',
    name,
    nameGap: 28,
    min: 10 ** Math.floor(Math.log10(Math.min(...values))),
    max: 10 ** Math.ceil(Math.log10(Math.max(...values))),
    axisLabel: { ...axisLook.axisLabel, formatter: count },
  }) as const;

export function peersChart(contenders: Contender[]): EChartsOption {
  const names = contenders.map(({ name }) => name);
  const parts = [
    { part: 'worker', name: 'worker' },
    { part: 'server', name: "Temporal's server" },
    { part: 'postgres', name: 'PostgreSQL' },
  ] as const;
  const rate = contenders[0]?.paced.perSecond ?? 0;
  return {
    title: [heading(`CPU per payment at ${rate}/s`, '14%'), heading('Lateness of a check, p99', '66%')],
    legend: { ...legendLook, data: parts.map(({ name }) => name), left: '14%' },
    grid: [
      { left: 110, right: '42%', top: 50, bottom: 85 },
      { left: '64%', right: 60, top: 50, bottom: 85 },
    ],
    xAxis: [
      { ...axisLook, type: 'value', name: 'ms', nameGap: 28, gridIndex: 0 },
      { ...axisLook, type: 'value', name: 'ms', nameGap: 28, gridIndex: 1, splitNumber: 4 },
    ],
    yAxis: [
      { ...categories, data: names, gridIndex: 0 },
      { ...categories, data: names, gridIndex: 1, axisLabel: { show: false } },
    ],
    series: [
      ...parts.map(({ part, name }, index) => ({
        type: 'bar' as const,
        name,
        stack: 'cpu',
        barWidth: 30,
        xAxisIndex: 0,
        yAxisIndex: 0,
        color: COLOURS[index] ?? COLOURS[0],
        data: contenders.map(({ paced: { cpu } }) => round(cpu[part])),
      })),
      {
        // A bar of width zero, only for its label: the sum at the end of the stack.
        type: 'bar',
        stack: 'cpu',
        xAxisIndex: 0,
        yAxisIndex: 0,
        color: 'transparent',
        label: {
          ...labelLook,
          position: 'right',
          formatter: ({ dataIndex }) => (contenders[dataIndex]?.paced.cpu.all ?? 0).toFixed(1),
        },
        data: contenders.map(() => 0),
      },
      {
        type: 'bar',
        barWidth: 30,
        xAxisIndex: 1,
        yAxisIndex: 1,
        color: COLOURS[3],
        label: { ...labelLook, position: 'right' },
        data: contenders.map(({ paced: { lateness } }) => Math.round(lateness.p99)),
      },
    ],
  };
}

/** The first on top. */
const categories = { ...axisLook, type: 'category', inverse: true, splitLine: { show: false } } as const;

export function throughputChart(pairs: Pair[]): EChartsOption {
  return {
    title: heading('Throughput against bare workflows', 'center'),
    legend: legendLook,
    grid: { left: 70, right: 30, top: 50, bottom: 85 },
    xAxis: {
      ...axisLook,
      type: 'category',
      name: 'pair, and its ratio',
      nameGap: 28,
      splitLine: { show: false },
      data: pairs.map(({ app, bare }, index) => `${index + 1}: ${(app / bare).toFixed(2)}`),
    },
    yAxis: { ...axisLook, type: 'value', name: 'payments per second', nameGap: 42 },
    series: (['app', 'bare'] as const).map((side) => ({
      type: 'bar',
      name: side === 'app' ? 'durable-alipay' : 'bare workflows of the same shape',
      barMaxWidth: 40,
      label: { ...labelLook, position: 'top' },
      data: pairs.map((pair) => round(pair[side])),
    })),
  };
}

const round = (value: number): number => Math.round(value * 10) / 10;

const seconds = (value: number): string => (value < 10 ? value.toFixed(1) : count(Math.round(value)));

/** Rounds up to two digits, in steps that an axis can label. */
function roundUp(value: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1) * 5;
  return Math.ceil(value / step) * step;
}
