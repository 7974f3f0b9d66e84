import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { History } from '@temporalio/common/lib/proto-utils';

/** Where the recorded histories lie. */
export const HISTORIES = join(__dirname, 'histories');

/** A recorded history. */
export interface RecordedHistory {
  /** The scenario, and the number of the run where it has several. */
  name: string;
  text: string;
  history: History;
}

/** All recorded histories. */
export function recordedHistories(): RecordedHistory[] {
  return readdirSync(HISTORIES)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => {
      const text = readFileSync(join(HISTORIES, file), 'utf8');
      return { name: file.replace(/\.json$/, ''), text, history: fromJson(text) };
    });
}

/**
 * A history as `temporal workflow show --output json` writes it, without what must not be kept: stack traces hold
 * paths of the machine that recorded them, and no replay reads them. One event a line, so that a later recording can
 * be compared with it.
 */
export function toJson(history: History): string {
  const { type, protobuf } = historyProtobuf();
  const written = JSON.stringify(protobuf.toJson(type, type.fromObject(history)));
  const { events } = JSON.parse(written, (key, value: unknown) =>
    key === 'stackTrace' ? undefined : value,
  ) as {
    events: unknown[];
  };
  return `{"events":[\n${events.map((event) => JSON.stringify(event)).join(',\n')}\n]}\n`;
}

function fromJson(text: string): History {
  const { type, protobuf } = historyProtobuf();
  return protobuf.fromJson(type, JSON.parse(text), { ignoreUnknownFields: true });
}

interface HistoryProtobuf {
  type: { fromObject: (history: History) => History };
  protobuf: {
    toJson: (type: unknown, history: History) => unknown;
    fromJson: (type: unknown, json: unknown, options: { ignoreUnknownFields: boolean }) => History;
  };
}

/**
 * The SDK's historyToJSON and historyFromJSON fail ("type must be a Type") wherever npm gives @temporalio/common and
 * @temporalio/proto a protobufjs each, as a lockfile with @grpc/proto-loader makes it do: this takes the one that made
 * the types.
 */
function historyProtobuf(): HistoryProtobuf {
  const ofCommon = createRequire(require.resolve('@temporalio/common'));
  const ofProto = createRequire(ofCommon.resolve('@temporalio/proto'));
  const { patchProtobufRoot } = ofCommon('@temporalio/proto/lib/patch-protobuf-root') as {
    patchProtobufRoot: (root: unknown) => { lookupType: (name: string) => HistoryProtobuf['type'] };
  };
  return {
    type: patchProtobufRoot(ofCommon('@temporalio/proto')).lookupType('temporal.api.history.v1.History'),
    protobuf: ofProto('protobufjs/ext/protojson') as HistoryProtobuf['protobuf'],
  };
}
