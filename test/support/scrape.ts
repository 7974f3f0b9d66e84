/** One response of the endpoint, in Prometheus' text format. */
export class Scrape {
  readonly #samples: { name: string; labels: Record<string, string>; value: number }[] = [];

  constructor(readonly text: string) {
    for (const [, name = '', labels = '', value] of text.matchAll(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/gm)) {
      this.#samples.push({
        name,
        labels: labelsOf(labels),
        value: Number(value),
      });
    }
  }

  has(name: string): boolean {
    return this.#samples.some((sample) => sample.name === name);
  }

  sum(name: string): number {
    return this.#of(name).reduce((sum, { value }) => sum + value, 0);
  }

  /** Sums by the values of one label, only of samples with these other labels. */
  by(name: string, label: string, where: Record<string, string> = {}): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { labels, value } of this.#of(name)) {
      if (!Object.entries(where).every(([key, wanted]) => labels[key] === wanted)) continue;
      const key = labels[label] ?? '';
      sums[key] = (sums[key] ?? 0) + value;
    }
    return sums;
  }

  /** The names of all families that are not the SDK's. */
  ours(): string[] {
    return [...this.text.matchAll(/^# TYPE (durable_alipay_[a-z_]+) /gm)].map(([, name = '']) => name).sort();
  }

  #of(name: string) {
    return this.#samples.filter((sample) => sample.name === name);
  }
}

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, key = '', value = ''] of text.matchAll(/(\w+)="([^"]*)"/g)) labels[key] = value;
  return labels;
}
