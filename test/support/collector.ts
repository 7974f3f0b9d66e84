import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as received. */
export interface CollectedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  name: string;
  /** 2: server, 3: client. */
  kind: number;
  startedAt: bigint;
  /** 2: error. */
  status: number;
  attributes: Record<string, unknown>;
  /** The traces it links to. */
  links: string[];
  service: unknown;
}

interface Attribute {
  key: string;
  value: Record<string, unknown>;
}

interface WireSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  attributes: Attribute[];
  links: { traceId: string }[];
  status: { code: number };
}

interface Body {
  resourceSpans: {
    resource: { attributes: Attribute[] };
    scopeSpans: { spans: WireSpan[] }[];
  }[];
}

/** Receives traces by OTLP over HTTP, in JSON, and keeps them. */
export class Collector {
  readonly #bodies: string[] = [];

  private constructor(private readonly server: Server) {
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        this.#bodies.push(Buffer.concat(chunks).toString());
        response.setHeader('content-type', 'application/json').end('{}');
      });
    });
  }

  static async start(): Promise<Collector> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Collector(server);
  }

  /** As in OTEL_EXPORTER_OTLP_ENDPOINT. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Everything that was sent, unchanged. */
  get text(): string {
    return this.#bodies.join('\n');
  }

  get spans(): CollectedSpan[] {
    return this.#bodies
      .flatMap((body) => (JSON.parse(body) as Body).resourceSpans)
      .flatMap(({ resource, scopeSpans }) =>
        scopeSpans.flatMap(({ spans }) =>
          spans.map((span) => spanOf(span, read(resource.attributes)['service.name'])),
        ),
      );
  }

  /** The spans of one trace as a tree, each below its parent, in order of their start. */
  tree(traceId: string): string {
    const spans = this.spans
      .filter((span) => span.traceId === traceId)
      .sort((one, other) => Number(one.startedAt - other.startedAt) || (one.name < other.name ? -1 : 1));
    const ids = new Set(spans.map(({ spanId }) => spanId));
    const below = (parent: string | undefined, depth: number): string[] =>
      spans
        .filter(({ parentSpanId: id }) => (id !== undefined && ids.has(id) ? id : undefined) === parent)
        .flatMap(({ name, spanId }) => ['  '.repeat(depth) + name, ...below(spanId, depth + 1)]);
    return below(undefined, 0).join('\n');
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }
}

function spanOf(
  { startTimeUnixNano, parentSpanId, attributes, links, status, ...span }: WireSpan,
  service: unknown,
): CollectedSpan {
  return {
    ...span,
    parentSpanId: parentSpanId || undefined,
    startedAt: BigInt(startTimeUnixNano),
    status: status.code,
    attributes: read(attributes),
    links: links.map(({ traceId }) => traceId),
    service,
  };
}

/** `{stringValue: "…"}` and the like. */
function read(attributes: Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
